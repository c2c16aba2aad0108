"""The injector itself: it works only where it is allowed, and says what it can break."""

from __future__ import annotations

from pathlib import Path

import pytest
from bring_up import NODES
from running_graph import launched

from tutelage_core.errors import ConfigurationError
from tutelage_nodes.inject import read_arguments

pytestmark = [pytest.mark.faults, pytest.mark.ros]


def test_injector_wants_the_flag_and_a_mode_that_exists() -> None:
    with pytest.raises(ConfigurationError, match="TUTELAGE_FAULTS is not set: faults are for tests"):
        read_arguments(["policy", "off"], None)
    with pytest.raises(ConfigurationError, match="unknown fault mode 'broken'"):
        read_arguments(["policy", "broken"], "1")
    assert read_arguments(["camera/front", "stuck"], "1").component == "camera/front"


def test_a_graph_that_allows_no_faults_has_no_door_for_them(small_policy: Path, domain: int, tmp_path: Path) -> None:
    with launched(domain, {"clock": "lockstep", "policy": str(small_policy), "folder": str(tmp_path)}) as graph:
        graph.wait_until_printed("[policy_node]: ready")
        refused = graph.program("inject", "policy", "off")
        graph.environment = {**graph.environment, "TUTELAGE_FAULTS": "1"}
        unheard = graph.program("inject", "policy", "off", "--timeout-s", "2")
    assert (refused.returncode, unheard.returncode) == (2, 1)
    assert "faults are for tests" in refused.stderr
    assert "was it started with TUTELAGE_FAULTS=1?" in unheard.stderr


def test_a_node_is_killed_by_name_and_an_unknown_component_is_answered_with_the_known_ones(
    small_policy: Path, domain: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUTELAGE_FAULTS", "1")
    with launched(domain, {"clock": "lockstep", "policy": str(small_policy), "folder": str(tmp_path)}) as graph:
        for name in NODES:
            graph.wait_until_printed(f"[{name}]: ready")
        unknown = graph.program("inject", "cameras", "off")
        killed = graph.program("inject", "recorder_node", "kill")
        graph.wait_until_printed("recorder_node died")
    assert unknown.returncode == 1
    assert "camera/front" in unknown.stderr
    assert "policy" in unknown.stderr
    assert (killed.returncode, killed.stdout.strip()) == (0, "recorder_node kill")
