"""One training in two processes, as torchrun starts them: gloo, on the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from policies import processes
from policies.rum.training import RumTraining
from tests.unit.test_rum_training import KEYS, MODEL, config, frames
from tutelage_core.errors import ConfigurationError

pytestmark = [pytest.mark.unit, pytest.mark.timeout(240)]

STEPS = 6
WORKER = Path(__file__).with_name("rum_process.py")
ROOT = WORKER.parents[2]


def torchrun(tmp_path: Path, head: str) -> list[dict[str, torch.Tensor]]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, str(WORKER), head, str(tmp_path), str(STEPS)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [load_file(tmp_path / f"{rank}.safetensors") for rank in range(2)]


@pytest.mark.parametrize("head", ["vq_bet", "mlp"])
def test_two_processes_end_with_the_same_weights(head: str, tmp_path: Path) -> None:
    first, second = torchrun(tmp_path, head)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
    fresh = RumTraining(frames(), config(head), KEYS).network.learned_state()
    assert any(not torch.equal(tensor, first[name]) for name, tensor in fresh.items()), "it has learnt"


def test_two_processes_take_the_steps_of_one_with_the_whole_batch(tmp_path: Path) -> None:
    """Without noise and dropout, which each process draws for itself."""
    together, _ = torchrun(tmp_path, "mlp_without_noise")
    alone = RumTraining(frames(), quiet(), KEYS)
    for _ in range(STEPS):
        alone.take_step()
    for name, tensor in alone.network.learned_state().items():
        torch.testing.assert_close(tensor, together[name], atol=1e-5, rtol=1e-3, msg=name)


def quiet():
    return replace(
        config("mlp"), model=replace(MODEL, head="mlp", mlp=replace(MODEL.mlp, dropout=0.0)), state_noise=0.0
    )


def test_single_process_needs_nobody() -> None:
    assert (processes.rank(), processes.count()) == (0, 1)
    assert processes.of_the_first(0.25) == 0.25
    tensor = torch.ones(3)
    assert processes.sum_of_all(tensor) is tensor
    processes.wait_for_all()


def test_batch_that_cannot_be_shared_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "count", lambda: 5)
    with pytest.raises(ConfigurationError, match="5 processes"):
        RumTraining(frames(1), config("mlp"), KEYS)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_device_that_is_not_there_is_refused() -> None:
    assert processes.device_named("auto") == torch.device("cpu")
    with pytest.raises(ConfigurationError, match="no GPU"):
        processes.device_named("cuda")
    with pytest.raises(ConfigurationError, match="quantum"):
        processes.device_named("quantum")
