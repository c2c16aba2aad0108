"""What goes wrong only in the long run."""

from __future__ import annotations

from pathlib import Path

import pytest
from bring_up import bring_up
from scoreboard import Scoreboard

pytestmark = [pytest.mark.faults, pytest.mark.ros, pytest.mark.slow]
BRING_UPS = 200


@pytest.mark.timeout(3600)
def test_graph_is_brought_up_and_torn_down_two_hundred_times(
    scoreboard: Scoreboard, small_policy: Path, domain: int, tmp_path: Path
) -> None:
    """Fault 19."""
    bring_up(BRING_UPS, domain, {"policy": str(small_policy), "folder": str(tmp_path)})
    scoreboard.note(19, "brought up and torn down", clock="counted", tries=BRING_UPS, left_behind=0)
