"""The benchmark registry: what is asked for is measured, and what is measured is reported whole."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from bench import __main__ as command_line
from bench import camera
from bench.figures import Benchmark, Direction, Figure, Measurement, Settings, benchmarks, choose, line, measures, run
from bench.machine import describe_machine
from bench.timeline import Executed, Timeline
from hardware.safety.reasons import Reason
from tutelage_core.errors import ConfigurationError, UnknownNameError
from tutelage_core.types import Source

pytestmark = pytest.mark.unit
KEYS = {"name", "step", "value", "unit", "bound", "met", "episodes", "seeds", "interval", "machine"}
FAKE = Figure("fake_ms", 1, "ms", 10.0, Direction.UNDER, False, "a fake")
SLOW = Figure("slow_successes", 2, "episodes", 90.0, Direction.AT_LEAST, True, "a long fake")
PERIOD_NS = 100_000_000


def fake(_: Settings) -> Mapping[str, Measurement]:
    return {"fake_ms": Measurement(9.5, 3, range(7, 10), (8.25, 11.0))}


def broken(_: Settings) -> Mapping[str, Measurement]:
    raise RuntimeError("no arm")


KNOWN = (Benchmark((FAKE,), fake), Benchmark((SLOW,), broken))


@pytest.mark.parametrize(
    ("direction", "below", "on", "above"),
    [
        (Direction.AT_LEAST, False, True, True),
        (Direction.AT_MOST, True, True, False),
        (Direction.UNDER, True, False, False),
    ],
)
def test_bound_is_met_on_its_own_side_only(direction, below, on, above):
    figure = replace(FAKE, direction=direction)
    assert [figure.met(v) for v in (9.9, 10.0, 10.1)] == [below, on, above]
    assert figure.met(math.nan) is False


def test_figure_without_bound_is_neither_met_nor_unmet():
    assert replace(FAKE, bound=None).met(1e9) is None


def test_registry_holds_the_figures_of_step_one_once_each():
    names = [f.name for b in benchmarks() for f in b.figures]
    assert len(names) == len(set(names))
    assert {
        "twin_two_cameras_steps_per_s",
        "twin_two_cameras_two_processes_steps_per_s",
        "twin_no_cameras_steps_per_s",
        "camera_640x480_30hz_frames_lost",
        "camera_640x480_30hz_median_ms",
        "camera_640x480_30hz_p99_ms",
        "live_latency_median_ms",
        "live_latency_p99_ms",
        "live_missed_periods",
        "graph_vs_loop_ratio",
        "policy_pick_cube_successes",
        "bring_up_tear_down",
        "gate_admit_us",
    } <= set(names)


def test_two_figures_of_one_name_are_refused():
    benchmarks()
    with pytest.raises(ConfigurationError, match="gate_admit_us"):
        measures(replace(FAKE, name="gate_admit_us"))(fake)


def test_unknown_figure_is_refused_with_the_legal_names():
    with pytest.raises(UnknownNameError, match="fake_ms, slow_successes"):
        choose(KNOWN, ["fake"], None, short=False)
    with pytest.raises(UnknownNameError, match="legal: 1, 2"):
        choose(KNOWN, [], 3, short=False)


def test_choice_follows_names_step_and_length():
    assert choose(KNOWN, [], None, short=False) == ["fake_ms", "slow_successes"]
    assert choose(KNOWN, [], None, short=True) == ["fake_ms"]
    assert choose(KNOWN, [], 2, short=False) == ["slow_successes"]
    assert choose(KNOWN, ["slow_successes"], None, short=False) == ["slow_successes"]


def test_line_has_all_keys_and_is_json():
    found = json.loads(json.dumps(line(FAKE, fake(Settings())["fake_ms"], describe_machine())))
    assert found.keys() >= KEYS
    assert (found["value"], found["met"], found["episodes"], found["seeds"]) == (9.5, True, 3, "7..9")
    assert found["interval"] == [8.25, 11.0]
    assert found["machine"]["cores"] >= 1


def test_crash_of_one_benchmark_is_an_error_line_and_costs_no_other(capsys, tmp_path):
    results = tmp_path / "new" / "bench.jsonl"
    code = command_line.measure(command_line.RunConfig(results=results), KNOWN)
    printed = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert code == 1
    assert [(found["name"], found["value"]) for found in printed] == [("fake_ms", 9.5), ("slow_successes", None)]
    assert printed[1]["error"] == "RuntimeError: no arm"
    assert printed[1]["met"] is False
    assert [json.loads(text) for text in results.read_text(encoding="utf-8").splitlines()] == printed


def test_unmet_bound_is_no_error(capsys, tmp_path):
    unmet = (Benchmark((replace(FAKE, bound=1.0),), fake),)
    assert command_line.measure(command_line.RunConfig(results=tmp_path / "bench.jsonl"), unmet) == 0
    assert json.loads(capsys.readouterr().out)["met"] is False


def test_command_line_refuses_an_unknown_figure(capsys):
    assert command_line.main(["run", "no_such_figure"]) == 2
    assert "gate_admit_us" in capsys.readouterr().err


def test_figures_of_one_benchmark_come_from_one_run():
    calls = []
    second = replace(FAKE, name="second_ms")

    def both(_: Settings) -> Mapping[str, Measurement]:
        calls.append(1)
        return {"fake_ms": Measurement(1.0), "second_ms": Measurement(2.0)}

    lines = list(run((Benchmark((FAKE, second), both),), ["fake_ms", "second_ms"], Settings(), lambda _: None))
    assert [found["value"] for found in lines] == [1.0, 2.0]
    assert len(calls) == 1


def action(
    sequence: int, period: float, late_ms: float = 15.0, source: Source = Source.POLICY, reasons: tuple[str, ...] = ()
) -> Executed:
    stamp_ns = round(period * PERIOD_NS)
    return Executed(sequence, source, stamp_ns, stamp_ns + round(late_ms * 1e6), reasons)


def test_steady_episodes_miss_no_period_and_a_new_episode_is_no_gap():
    timeline = Timeline(
        [action(1, 0), action(2, 1), action(3, 2), action(1, 9), action(2, 10)],
        frozenset({0, 9 * PERIOD_NS}),
        PERIOD_NS,
    )
    assert timeline.missed_periods() == 0
    assert len(list(timeline.episodes())) == 2
    assert timeline.latencies_ms(fresh=True) == [15.0, 15.0]
    assert len(timeline.latencies_ms(fresh=False)) == 3


def test_skipped_late_and_held_periods_are_missed():
    skipped = Timeline([action(1, 0), action(2, 3)], frozenset(), PERIOD_NS)
    late = Timeline([action(1, 0), action(2, 1, late_ms=101.0)], frozenset(), PERIOD_NS)
    held = Timeline([action(1, 0), action(2, 1, source=Source.HOLD)], frozenset(), PERIOD_NS)
    assert [t.missed_periods() for t in (skipped, late, held)] == [2, 1, 1]


def test_hold_of_the_arm_after_an_episode_is_not_missed():
    after = action(2, 3, source=Source.HOLD, reasons=(Reason.COMMAND_TIMEOUT,))
    assert after.timed_out
    assert Timeline([action(1, 0), action(2, 1), after], frozenset(), PERIOD_NS).missed_periods() == 0


def test_lost_frames_are_counted_over_the_end_of_the_video():
    last = camera.VIDEO_FRAMES - 1
    rows = [(i * 33_000_000, i * 33_000_000 + 4_000_000, number) for i, number in enumerate([last - 1, last, 2, 3])]
    found = camera.evaluate_arrivals(rows)
    assert found["camera_640x480_30hz_frames_lost"].value == 2
    assert found["camera_640x480_30hz_median_ms"].value == pytest.approx(4.0)


def test_numbered_video_spells_the_numbers_of_its_frames(tmp_path: Path, monkeypatch):
    import cv2

    monkeypatch.setattr(camera, "VIDEO_FRAMES", 40)
    path = tmp_path / "numbered.avi"
    camera.write_numbered_video(path)
    video = cv2.VideoCapture(str(path))
    side = camera.SQUARE_PX
    for number in range(40):
        got, frame = video.read()
        assert got
        squares = [frame[:side, bit * side : (bit + 1) * side].mean() for bit in range(camera.BITS)]
        assert sum(1 << bit for bit, mean in enumerate(squares) if mean >= 128) == number
