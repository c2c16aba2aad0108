"""What users get wrong is refused at start, by name; what the network gets wrong never reaches the twin."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from running_graph import launched

pytestmark = pytest.mark.ros


def refusal(domain: int, arguments: dict[str, str], node: str) -> str:
    """Return what the graph printed when `node` refused to start."""
    with launched(domain, arguments) as graph:
        graph.wait_until_printed(f"{node} died: exit code 1")
        return graph.output.getvalue()


def test_unknown_robot_is_refused_with_the_legal_names(small_policy, domain):
    said = refusal(domain, {"robot": "tiwn", "policy": str(small_policy)}, "arm_node")
    assert "unknown robot 'tiwn'" in said
    assert re.search(r"legal: [a-z_, ]*\btwin\b", said)


def test_unknown_task_is_refused_with_the_legal_names(small_policy, domain):
    said = refusal(domain, {"task": "PickCubes", "policy": str(small_policy), "clock": "lockstep"}, "twin_node")
    assert "unknown task 'PickCubes'" in said
    assert "PickCube" in said.split("legal:")[1]


def test_unknown_policy_is_refused(domain):
    assert "unknown policy checkpoint 'nobody'" in refusal(domain, {"policy": "nobody"}, "policy_node")


def test_corrupt_checkpoint_is_refused_with_file_and_reason(small_policy, domain, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(small_policy, broken)
    weights = broken / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 0xFF
    weights.write_bytes(bytes(data))
    said = refusal(domain, {"policy": str(broken)}, "policy_node")
    assert "model.safetensors" in said
    assert "SHA-256" in said


def test_policy_that_does_not_fit_the_robot_is_refused_naming_both(small_policy, domain, tmp_path):
    contract = Path("hardware/robots/twin.yaml").read_text(encoding="utf-8")
    other = tmp_path / "other.yaml"
    other.write_text(
        contract.replace("front: {width: 128, height: 128", "front: {width: 64, height: 64").replace(
            "name: twin", "name: small_eyes"
        ),
        encoding="utf-8",
    )
    said = refusal(domain, {"robot": str(other), "policy": str(small_policy)}, "policy_node")
    assert "policy 'bc' does not fit robot 'small_eyes'" in said
    assert "camera 'front': needs 128x128 px, robot gives 64x64 px" in said


def test_unknown_parameter_is_refused_with_the_legal_names(small_policy, domain, tmp_path):
    path = tmp_path / "typo.launch.yaml"
    path.write_text(
        json.dumps(
            {
                "launch": [
                    {
                        "node": {
                            "pkg": "tutelage_nodes",
                            "exec": "arm_node",
                            "name": "arm_node",
                            "param": [{"name": "robbot", "value": "twin"}],
                        }
                    }
                ]
            }
        ),
        encoding="utf-8",
    )
    import io

    from running_graph import LaunchRunner, test_environment

    output = io.StringIO()
    with LaunchRunner(environment=test_environment(domain), stream=output) as runner:
        runner.start(path, {})
        assert runner.wait(30.0) == 1
    assert "unknown parameter 'robbot'" in output.getvalue()
    assert "robot" in output.getvalue().split("legal:")[1]


@pytest.mark.parametrize("poison", ["nan", "inf", "huge", "stale"])
def test_poisoned_commands_never_move_the_twin(small_policy, domain, tmp_path, poison):
    """A hostile sender on /arm/command: the gate refuses each command by name and the twin's arm stays."""
    with launched(domain, {"clock": "realtime", "policy": str(small_policy), "folder": str(tmp_path)}) as graph:
        for name in ("twin_node", "arm_node"):
            graph.wait_until_printed(f"[{name}]: ready")
        done = graph.program("poison_probe", "--kind", poison, "--commands", "20")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    # a huge step is well formed: nobody has armed the arm for its sender, and that comes first
    expected = {"nan": "NOT_FINITE", "inf": "NOT_FINITE", "huge": "NOT_ARMED", "stale": "STALE_COMMAND"}[poison]
    assert report["reasons"][expected] >= 3, report
    assert report["executed_finite"], report
    assert report["largest_executed_m"] == 0.0, report
    assert report["moved_m"] < 0.002, report
