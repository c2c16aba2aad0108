"""The black box keeps the last seconds, seals them whole, and is not fooled by what it is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hardware.safety.black_box import ARRAYS, BlackBox, read_black_box
from tests.unit.gate_samples import PERIOD_NS, Bench, arm_state, tcp_step
from tutelage_core.contract import NS_PER_S
from tutelage_core.errors import ConfigurationError

pytestmark = pytest.mark.unit


def box_of_an_episode(periods: int) -> tuple[BlackBox, Bench]:
    box, bench = BlackBox("twin"), Bench()
    for i in range(periods):
        decision = bench.ask(tcp_step(np.nan if i == periods - 1 else 0.01))
        box.note_state(bench.state())
        box.note_step(decision.executed, "session", decision.detail)
        box.note_picture("front", np.full((128, 96, 3), i % 256, np.uint8), bench.now_ns)
    return box, bench


def test_what_is_sealed_is_what_happened(tmp_path: Path) -> None:
    box, bench = box_of_an_episode(20)
    record = read_black_box(box.seal(tmp_path, "operator"))
    assert record.cause == "operator"
    assert record.robot == "twin"
    assert len(record.steps) == len(record.executed) == 20
    assert record.steps[-1]["reasons"] == ["NOT_FINITE"]
    assert record.steps[-1]["sender"] == "session"
    assert np.isnan(record.requested[-1, 0])
    np.testing.assert_array_equal(record.executed[-1, :6], 0.0)
    np.testing.assert_array_equal(
        record.states[-1, record.joints : record.joints + 3], bench.state().T_base_tcp.position
    )
    stamps, pictures = record.pictures["front"]
    assert pictures.shape[1:] == (64, 48, 3)
    assert (np.diff(stamps) >= NS_PER_S // 2).all()


def test_only_the_last_ten_seconds_are_kept(tmp_path: Path) -> None:
    box, bench = box_of_an_episode(300)
    record = read_black_box(box.seal(tmp_path, ""))
    assert record.state_stamps_ns[-1] == bench.now_ns
    assert bench.now_ns - record.state_stamps_ns[0] == 10 * NS_PER_S
    assert len(record.steps) <= 10 * NS_PER_S // PERIOD_NS + 1


def test_each_stop_has_a_folder_of_its_own(tmp_path: Path) -> None:
    box, _ = box_of_an_episode(2)
    assert box.seal(tmp_path, "first") != box.seal(tmp_path, "second")
    assert read_black_box(tmp_path / "stop-0001").cause == "second"


def test_step_of_any_shape_and_stamp_is_noted(tmp_path: Path) -> None:
    box, bench = box_of_an_episode(2)
    box.note_step(bench.ask(np.zeros(3)).executed)
    box.note_step(bench.ask(np.array(["x"] * 7)).executed)
    assert len(read_black_box(box.seal(tmp_path, "")).steps) == 4


def test_empty_box_can_be_sealed(tmp_path: Path) -> None:
    assert len(read_black_box(BlackBox("twin").seal(tmp_path, "nothing yet")).steps) == 0


def test_box_that_was_changed_is_refused_by_name(tmp_path: Path) -> None:
    box, _ = box_of_an_episode(3)
    folder = box.seal(tmp_path, "")
    data = bytearray((folder / ARRAYS).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / ARRAYS).write_bytes(bytes(data))
    with pytest.raises(ConfigurationError, match=ARRAYS):
        read_black_box(folder)
    with pytest.raises(ConfigurationError, match="no such folder"):
        read_black_box(tmp_path / "none")


def test_still_arm_is_noted_too() -> None:
    box = BlackBox("twin")
    for i in range(3):
        box.note_state(arm_state(i))


def test_box_is_opened_by_replay_incident(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.unit.gate_samples import HOME
    from tutelage.cli.show_incident import replay_incident
    from tutelage.runs.replay_incident import ReplayIncidentConfig

    box, bench = box_of_an_episode(5)
    for i in range(4):
        box.note_state(arm_state(bench.now_ns + i, joints=HOME + 0.05 * i))
    folder = box.seal(tmp_path, "operator")
    assert replay_incident(ReplayIncidentConfig(folder)) == 0
    said = capsys.readouterr().out
    assert "operator" in said
    assert "NOT_FINITE" in said
    assert (folder / "film_strip.png").stat().st_size > 1000
    assert (folder / "front_pictures.png").is_file()
