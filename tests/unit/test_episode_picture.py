"""The picture of an episode: who drove stands at its time and in its colour, what was said is there, all is inside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from tests.unit.episode_samples import METADATA, PERIOD_NS, RESULT, executed, frame, record, state
from tutelage.looking import lanes
from tutelage.looking.picture import INSTANTS, draw_episode, render, save_picture
from tutelage.looking.spans import SOURCE_COLOURS, Span, spans_of
from tutelage.runs.show_episode import ShowEpisodeConfig, show_episode
from tutelage_core.episodes.labels import Judgement, Label, Phrase, RewardScores, add_label
from tutelage_core.episodes.reader import Episode, read_episode
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.episodes.writer import EpisodeWriter
from tutelage_core.errors import ConfigurationError, EpisodeError
from tutelage_core.types import Source, TaskStatus

pytestmark = pytest.mark.unit


def episode_of(root: Path, sources: list[Source], reasons: tuple[str, ...] = (), name: str = "a") -> Episode:
    """Record an episode that `sources` drove; the gate gives `reasons` in its last period."""
    writer = EpisodeWriter(root, name, METADATA)
    for number, source in enumerate(sources):
        stamp = (number + 1) * PERIOD_NS
        for camera in METADATA.contract.cameras:
            writer.image(camera, frame(stamp, 10 * number % 256))
        writer.state(state(stamp))
        step = replace(executed(stamp, 0.01), requested=np.full(7, 0.01), source=source)
        writer.executed(replace(step, reasons=reasons) if number == len(sources) - 1 else step)
    return read_episode(writer.close(replace(RESULT, steps=len(sources))))


def track(figure: Figure, name: str) -> Axes:
    return next(axes for axes in figure.axes if axes.get_label() == name)


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def pixels_of(path: Path) -> np.ndarray:
    pixels = cv2.imread(str(path))
    assert pixels is not None
    return pixels


def pixel(figure: Figure, pixels: np.ndarray, axes: Axes, time_s: float, height: float) -> tuple[int, ...]:
    """Return the colour at a time [s] and a height (0 bottom .. 1 top) of a track."""
    column, row = axes.get_xaxis_transform().transform((time_s, height))
    return tuple(pixels[pixels.shape[0] - 1 - int(row), int(column)].tolist())


def test_who_drove_has_the_right_colour_at_the_right_time(tmp_path: Path) -> None:
    sources = [Source.POLICY] * 3 + [Source.HUMAN] * 2 + [Source.HOLD, Source.EXPERT, Source.PHRASE, Source.HOMING]
    figure = draw_episode(episode_of(tmp_path, sources))
    pixels = render(figure)
    band = track(figure, "who drove")
    for number, source in enumerate(sources):
        wanted = tuple(round(255 * part) for part in to_rgb(SOURCE_COLOURS[source]))
        for share in (0.2, 0.5, 0.8):
            assert pixel(figure, pixels, band, 0.1 * (number + share), 0.3) == wanted, (number, source)


def test_legend_names_those_who_drove_and_nobody_else(tmp_path: Path) -> None:
    said = words(draw_episode(episode_of(tmp_path, [Source.POLICY, Source.HUMAN])))
    assert {"policy", "human"} <= set(said)
    assert not {"expert", "phrase", "homing", "hold"} & set(said)


def test_colours_of_who_drove_differ_from_each_other() -> None:
    assert set(SOURCE_COLOURS) == set(Source)
    assert len(set(SOURCE_COLOURS.values())) == len(Source)


def test_title_phrases_remarks_reasons_rewards_and_end_are_written(tmp_path: Path) -> None:
    episode = episode_of(tmp_path, [Source.POLICY] * 10, ("TRANSLATION_CLAMPED",))
    phrases = (Phrase("move left", 2 * PERIOD_NS, 5 * PERIOD_NS), Phrase("close $it$", 5 * PERIOD_NS, 9 * PERIOD_NS))
    judged = Judgement(False, "dropped", ("too fast",), phrases, {"toy model": (None, *(0.1 * i for i in range(9)))})
    said = words(draw_episode(episode, judged))
    assert {"move left", "close $it$", "TRANSLATION_CLAMPED", "toy model", METADATA.instruction} <= set(said)
    whole = " ".join(said)
    for part in ("seed 3", "robot twin", "policy bc (abababab)", "“too fast”", "failure: dropped", "success ▸"):
        assert part in whole, part


def test_phrase_of_a_label_is_drawn_over_its_own_periods(tmp_path: Path) -> None:
    episode = episode_of(tmp_path, [Source.POLICY] * 10)
    figure = draw_episode(episode, Judgement(phrases=(Phrase("go", 4 * PERIOD_NS, 7 * PERIOD_NS),)))
    pixels, row = render(figure), track(figure, "phrases")
    white = (255, 255, 255)
    painted = [pixel(figure, pixels, row, 0.1 * number + 0.07, 0.2) != white for number in range(10)]
    assert painted == [False] * 3 + [True] * 3 + [False] * 4


def test_words_of_phrases_never_cover_each_other() -> None:
    bars = [
        lanes.Bar(f"a phrase with number {number}", 0.1 * number, 0.1 * number + 0.1, "#000000") for number in range(40)
    ]
    placed = lanes.place(bars, 4.0, 9.0)
    assert {item.lane for item in placed} == set(range(lanes.MAX_LANES))
    for lane in range(lanes.MAX_LANES):
        free_s = 0.0
        for item in placed:
            if item.lane == lane and item.words_at_s is not None:
                assert item.words_at_s >= free_s
                free_s = item.words_at_s + lanes.width_pt(item.bar.words) / 72 / 9.0 * 4.0
                assert free_s <= 4.0 + 1e-9, "words stay on the axis"


def test_asked_steps_are_dashed_only_where_the_gate_changed_them(tmp_path: Path) -> None:
    untouched = draw_episode(episode_of(tmp_path, [Source.POLICY] * 3))
    changed = draw_episode(episode_of(tmp_path, [Source.POLICY] * 3, ("TRANSLATION_CLAMPED",), "b"))
    assert "asked" not in words(untouched)
    assert words(changed).count("asked") == 3


def test_wild_requests_do_not_hide_what_was_executed(tmp_path: Path) -> None:
    episode = episode_of(tmp_path, [Source.POLICY] * 4)
    requested = episode.requested.copy()
    requested[1, 0], requested[2, 1], requested[3, 2] = np.inf, np.nan, 1e9
    figure = draw_episode(replace(episode, requested=requested))
    low, high = track(figure, "translation\n[mm]").get_ylim()
    assert low < 0.0
    assert 10.0 < high < 20.0


@pytest.mark.parametrize("steps", [1, 2, 14, 600])
def test_nothing_is_drawn_beyond_the_edge(tmp_path: Path, steps: int) -> None:
    episode = episode_of(tmp_path, [Source.POLICY, Source.HUMAN] * (steps // 2) or [Source.POLICY], name="W" * 120)
    episode = replace(
        episode,
        phrases=tuple(f"phrase {number // 7}" for number in range(steps)),
        reasons=(("A_REASON_WITH_A_NAME_THAT_IS_MUCH_TOO_LONG_FOR_A_ROW",),) * steps,
        progress=np.linspace(0.0, 1.0, steps),
        metadata=replace(METADATA, instruction="put the thing onto the other thing " * 30, room="train:7"),
        result=replace(
            RESULT, termination="time_limit", success=False, failure="a long word " * 30, human_periods=steps
        ),
    )
    rewards = {f"model {number} with a long name": (0.5,) * steps for number in range(9)}
    long = Phrase("w" * 300, int(episode.stamps_ns[-1]), int(episode.stamps_ns[-1]) + PERIOD_NS)
    figure = draw_episode(episode, Judgement(True, "", ("remark " * 60,), (long,), rewards))
    height, width, _ = render(figure).shape
    for text in figure.findobj(Text):
        if text.get_text() and text.get_visible():
            box = text.get_window_extent()
            assert 0 <= box.x0 <= box.x1 <= width, text.get_text()
            assert 0 <= box.y0 <= box.y1 <= height, text.get_text()


def test_tracks_and_legends_do_not_cover_each_other(tmp_path: Path) -> None:
    sources = list(Source) * 2
    episode = episode_of(tmp_path, sources, ("TRANSLATION_CLAMPED",))
    rewards = {f"model {number}": (0.5,) * len(sources) for number in range(9)}
    figure = draw_episode(episode, Judgement(rewards=rewards))
    render(figure)
    boxes = [axes.get_window_extent() for axes in figure.axes]
    boxes += [legend.get_window_extent() for axes in figure.axes if (legend := axes.get_legend()) is not None]
    for number, box in enumerate(boxes):
        assert not any(box.padded(-1.0).overlaps(other.padded(-1.0)) for other in boxes[number + 1 :])


def test_film_strip_shows_evenly_spread_instants_of_each_camera(tmp_path: Path) -> None:
    figure = draw_episode(episode_of(tmp_path, [Source.POLICY] * 25))
    strip = np.asarray(track(figure, "film").images[0].get_array())
    width = strip.shape[1] // INSTANTS
    chosen = np.linspace(0, 24, INSTANTS).round().astype(int)
    seen = [strip[40, width * column + width // 2].tolist() for column in range(INSTANTS)]
    assert seen == [[10 * number % 256] * 3 for number in chosen.tolist()]


def test_rewards_of_another_length_are_refused(tmp_path: Path) -> None:
    episode = episode_of(tmp_path, [Source.POLICY] * 3)
    with pytest.raises(EpisodeError, match="rewards of toy are 2 numbers for 3 control periods"):
        draw_episode(episode, Judgement(rewards={"toy": (0.1, 0.2)}))


def test_true_progress_and_success_are_drawn_if_they_are_known(tmp_path: Path) -> None:
    assert {"true progress", "task done"} <= set(words(draw_episode(read_episode(record(tmp_path, "a", 5)))))
    assert not {"true progress", "task done"} & set(
        words(draw_episode(episode_of(tmp_path, [Source.POLICY], name="b")))
    )


def test_picture_is_written_once_and_only_under_a_pictures_name(tmp_path: Path) -> None:
    episode = episode_of(tmp_path, [Source.POLICY] * 3)
    for suffix in (".png", ".jpg"):
        path = tmp_path / "new" / f"picture{suffix}"
        save_picture(path, episode)
        assert pixels_of(path).shape == render(draw_episode(episode)).shape
    data = path.read_bytes()
    with pytest.raises(ConfigurationError, match="none is overwritten"):
        save_picture(path, episode)
    assert path.read_bytes() == data
    with pytest.raises(ConfigurationError, match=r"ends in \.png or \.jpg"):
        save_picture(tmp_path / "picture.gif", episode)


def test_show_draws_the_labels_too_and_says_what_it_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(tmp_path / "store", "a", 4)
    add_label(tmp_path / "store", "a", Label(1, rewards=RewardScores("toy", (0.0, 0.1, None, 0.3))))
    add_label(tmp_path / "store", "a", Label(2, phrase="slow", author="me"))
    monkeypatch.chdir(tmp_path)
    assert show_episode(ShowEpisodeConfig(tmp_path / "store" / "a")) == (Path("a.png"),)
    with_labels = pixels_of(Path("a.png"))
    assert with_labels.shape[0] > render(draw_episode(read_episode(tmp_path / "store" / "a"))).shape[0]
    with pytest.raises(ConfigurationError, match=r"a\.png: there is such a file"):
        show_episode(ShowEpisodeConfig(tmp_path / "store" / "a"))


def test_show_writes_the_other_forms_only_if_asked(tmp_path: Path) -> None:
    record(tmp_path / "store", "a", 4)
    picture, recording = tmp_path / "a.png", tmp_path / "a.rrd"
    config = ShowEpisodeConfig(tmp_path / "store" / "a", picture, recording, foxglove=True)
    written = show_episode(config)
    assert written == (picture, recording, tmp_path / "store" / "foxglove_layout.json")
    assert all(path.stat().st_size > 0 for path in written)
    assert EpisodeStore(tmp_path / "store").names() == ("a",)


@pytest.mark.parametrize(
    ("output", "rerun", "match"),
    [("a.bmp", None, r"a\.bmp: its name must end in \.png or \.jpg"), ("a.png", "a.mcap", r"must end in \.rrd")],
)
def test_show_refuses_names_before_it_writes_anything(
    tmp_path: Path, output: str, rerun: str | None, match: str
) -> None:
    record(tmp_path / "store", "a", 2)
    paths = tmp_path / output, tmp_path / rerun if rerun else None
    with pytest.raises(ConfigurationError, match=match):
        show_episode(ShowEpisodeConfig(tmp_path / "store" / "a", *paths))
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_spans_are_the_stretches_of_equal_neighbours() -> None:
    assert spans_of("aabcc") == (Span("a", 0, 2), Span("b", 2, 3), Span("c", 3, 5))
    assert spans_of([]) == ()


def test_status_before_the_first_step_does_not_end_the_picture(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path, "a", METADATA)
    writer.state(state(PERIOD_NS))
    writer.status(PERIOD_NS, TaskStatus(True, 1.0))
    writer.executed(executed(PERIOD_NS))
    episode = read_episode(writer.close(RESULT), cameras=())
    figure = draw_episode(episode)
    assert "film" not in {axes.get_label() for axes in figure.axes}
    assert render(figure).std() > 0.0
