"""One episode as one picture: what the cameras saw, who drove, what was done, what was said of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from textwrap import wrap

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tutelage.film_strip import LABEL_HEIGHT_PX, PICTURE_SUFFIXES, FilmStrip, write_picture
from tutelage.looking import lanes, tracks
from tutelage.looking.spans import edges_s, spans_of
from tutelage_core.episodes.labels import Judgement
from tutelage_core.episodes.reader import Episode
from tutelage_core.errors import ConfigurationError, EpisodeError
from tutelage_core.types import FloatArray, ImageArray

DPI = 100
WIDTH_IN, LEFT_IN, RIGHT_IN, TOP_IN, BOTTOM_IN = 12.0, 1.45, 1.35, 0.12, 0.5
GAP_IN = 0.12
INSTANTS = 10
"""Pictures of each camera, evenly spread."""

CAMERA_WIDTH_PX, BORDER_PX = 128, 2
"""All cameras are drawn equally wide, with white between them."""

TITLE_PT, WORDS_PT, AXIS_PT = 12.0, 8.5, 8.0
BOLD_SHARE = 1.2
"""Bold letters are at most so much wider than the others."""

LINE_IN = 0.17
POLICY_PHRASE_COLOUR, LABEL_PHRASE_COLOUR = "#0072b2", "#cc79a7"


@dataclass(frozen=True)
class _Track:
    """A strip of the picture: its name, its height [inch], how it is drawn, and whether time runs along it."""

    name: str
    height_in: float
    draw: Callable[[Axes], None]
    timed: bool = True


def rewards_of(episode: Episode, judgement: Judgement) -> dict[str, FloatArray]:
    """Return each reward model's numbers, shape (T,), NaN where it gave none.

    Raises:
        EpisodeError: a model has not one number for each control period.
    """
    rewards: dict[str, FloatArray] = {}
    for model, values in judgement.rewards.items():
        if len(values) != len(episode):
            raise EpisodeError(
                f"{episode.name}: rewards of {model} are {len(values)} numbers for {len(episode)} control periods; "
                "score the episode again"
            )
        rewards[model] = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    return rewards


def draw_episode(episode: Episode, judgement: Judgement | None = None) -> Figure:
    """Return the picture of an episode, with what its labels say if `judgement` is given.

    Raises:
        EpisodeError: rewards are not of this episode.
    """
    judged = judgement or Judgement()
    end_s = float(edges_s(episode)[-1])
    track_width_in = WIDTH_IN - LEFT_IN - RIGHT_IN
    tracks_wanted = _tracks(episode, judged, end_s, track_width_in)
    header = _header(episode, judged)
    header_in = 0.26 + LINE_IN * (len(header) - 1) + 0.1
    height_in = TOP_IN + header_in + sum(track.height_in + GAP_IN for track in tracks_wanted) + BOTTOM_IN
    figure = Figure(figsize=(WIDTH_IN, height_in), dpi=DPI)
    FigureCanvasAgg(figure)
    top_in = height_in - TOP_IN
    for number, line in enumerate(header):
        size, weight = (TITLE_PT, "bold") if number == 0 else (WORDS_PT, "normal")
        figure.text(
            0.12 / WIDTH_IN, top_in / height_in, line, fontsize=size, fontweight=weight, va="top", parse_math=False
        )
        top_in -= 0.26 if number == 0 else LINE_IN
    top_in -= 0.1
    timed: list[Axes] = []
    for track in tracks_wanted:
        bottom = (top_in - track.height_in) / height_in
        box = (LEFT_IN / WIDTH_IN, bottom, track_width_in / WIDTH_IN, track.height_in / height_in)
        axes = figure.add_axes(box, label=track.name)
        axes.tick_params(labelsize=AXIS_PT)
        track.draw(axes)
        if track.timed:
            axes.set_xlim(0.0, end_s)
            axes.grid(axis="x", lw=0.4, alpha=0.4)
            axes.set_axisbelow(True)
            timed.append(axes)
            axes.set_ylabel(track.name, fontsize=AXIS_PT, rotation=0, ha="right", va="center", parse_math=False)
            axes.yaxis.set_label_coords(-0.55 / track_width_in, 0.5)
        top_in -= track.height_in + GAP_IN
    for axes in timed[:-1]:
        axes.tick_params(labelbottom=False, bottom=False)
    timed[-1].set_xlabel("time from the first control period [s]", fontsize=AXIS_PT)
    return figure


def render(figure: Figure) -> ImageArray:
    """Return a figure's pixels, shape (height, width, 3), uint8, RGB."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba(), dtype=np.uint8)[..., :3].copy()


def save_picture(path: Path, episode: Episode, judgement: Judgement | None = None) -> None:
    """Draw an episode and write its picture to `path`.

    Raises:
        ConfigurationError: the name does not end in .png or .jpg, or there is such a file.
        EpisodeError: rewards are not of this episode.
    """
    if path.suffix not in PICTURE_SUFFIXES:
        raise ConfigurationError(f"{path}: a picture's name ends in {' or '.join(PICTURE_SUFFIXES)}")
    if path.exists():
        raise ConfigurationError(f"{path}: there is such a file, and none is overwritten; choose another name")
    write_picture(path, render(draw_episode(episode, judgement)))


def _tracks(episode: Episode, judged: Judgement, end_s: float, width_in: float) -> list[_Track]:
    """Return what this episode has something to show for, from the top."""
    found: list[_Track] = []
    if episode.images:
        strip = _film_strip(episode)
        height_in = width_in * strip.shape[0] / (INSTANTS * CAMERA_WIDTH_PX)
        found.append(_Track("film", height_in, partial(_draw_film, episode=episode, strip=strip), timed=False))
    who_in = max(0.24, tracks.legend_height_in(len(np.unique(episode.sources))))
    found.append(_Track("who drove", who_in, partial(tracks.draw_who, episode=episode, instants=_instants(episode))))
    bars = _phrases(episode, judged)
    if bars:
        placed = lanes.place(bars, end_s, width_in)
        depth = max(item.lane for item in placed) + 1
        found.append(_Track("phrases", 0.17 * depth, partial(lanes.draw, placed=placed)))
    steps = partial(tracks.draw_steps, episode=episode)
    found += [
        _Track("translation\n[mm]", 1.35, partial(steps, columns=(0, 1, 2), names="xyz", scale=1e3)),
        _Track("rotation\n[mrad]", 1.15, partial(steps, columns=(3, 4, 5), names=("rx", "ry", "rz"), scale=1e3)),
        _Track("gripper\n0..1", 0.6, partial(steps, columns=(6,), names=("opening",), scale=1.0)),
    ]
    rewards = rewards_of(episode, judged)
    if rewards or np.isfinite(episode.progress).any():
        found.append(
            _Track(
                "rewards",
                max(1.0, tracks.legend_height_in(len(rewards) + 1)),
                partial(tracks.draw_rewards, episode=episode, rewards=rewards),
            )
        )
    rows = tracks.event_rows(episode)
    return [*found, _Track("", 0.17 * len(rows), partial(tracks.draw_events, episode=episode, rows=rows))]


def _header(episode: Episode, judged: Judgement) -> list[str]:
    """Return the lines above the picture, the title first."""
    about, result = episode.metadata, episode.result
    driver = f"policy {about.policy}" if about.policy else "no policy"
    if about.policy_sha256:
        driver += f" ({about.policy_sha256[:8]})"
    parts = [f"seed {about.seed}", f"robot {about.robot}", driver, *([f"room {about.room}"] if about.room else [])]
    lasted = f"{len(episode)} control period{'s' if len(episode) > 1 else ''}"
    end = f"{'success' if result.success else 'no success'} after {lasted}, ended by {result.termination}"
    parts += [end + (f", failure: {result.failure}" if result.failure else "")]
    if result.human_periods:
        parts.append(f"{result.human_periods} of them by a person")
    lines = [f"{about.task}   {episode.name}", about.instruction, " · ".join(parts)]
    said = {True: ["success"], False: ["no success"], None: []}[judged.success]
    said += [f"failure: {judged.failure}"] if judged.failure else []
    said += [f"“{remark}”" for remark in judged.remarks]
    if said:
        lines.append("labels: " + " · ".join(said))
    width_pt = (WIDTH_IN - 0.3) * lanes.PT_PER_INCH
    title = lanes.cut(lines[0], width_pt / BOLD_SHARE, TITLE_PT)
    rest = [line for whole in lines[1:] for line in wrap(whole, 150, max_lines=3, placeholder=" …")]
    return [title, *(lanes.cut(line, width_pt, WORDS_PT) for line in rest)]


def _phrases(episode: Episode, judged: Judgement) -> list[lanes.Bar]:
    """Return what the policy followed and what the labels say the arm does, in the order of their beginnings."""
    edges = edges_s(episode)
    bars = [
        lanes.Bar(span.value, float(edges[span.first]), float(edges[span.end]), POLICY_PHRASE_COLOUR)
        for span in spans_of(episode.phrases)
        if span.value
    ]
    for phrase in judged.phrases:
        from_s, to_s = ((stamp - int(episode.stamps_ns[0])) / 1e9 for stamp in (phrase.from_ns, phrase.to_ns))
        from_s, to_s = max(from_s, 0.0), min(to_s, float(edges[-1]))
        if from_s < to_s:
            bars.append(lanes.Bar(phrase.text, from_s, to_s, LABEL_PHRASE_COLOUR))
    return sorted(bars, key=lambda bar: (bar.from_s, bar.to_s))


def _instants(episode: Episode) -> list[int]:
    return np.unique(np.linspace(0, len(episode) - 1, INSTANTS).round().astype(int)).tolist()


def _film_strip(episode: Episode) -> ImageArray:
    film = FilmStrip(INSTANTS)
    edges = edges_s(episode)
    for index in _instants(episode):
        film.add_images(f"{edges[index]:.1f} s", {name: _narrow(rows[index]) for name, rows in episode.images.items()})
    return film.draw()


def _narrow(image: ImageArray) -> ImageArray:
    width = CAMERA_WIDTH_PX - BORDER_PX
    height = max(round(image.shape[0] * width / image.shape[1]), 1)
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    bordered = cv2.copyMakeBorder(small, 0, BORDER_PX, 0, BORDER_PX, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    return np.asarray(bordered, dtype=np.uint8)


def _draw_film(axes: Axes, episode: Episode, strip: ImageArray) -> None:
    height, width, _ = strip.shape
    axes.imshow(strip, extent=(0, width, height, 0), aspect="auto", interpolation="antialiased")
    axes.set_xlim(0, INSTANTS * CAMERA_WIDTH_PX)
    axes.set_ylim(height, 0)
    axes.axis("off")
    top = LABEL_HEIGHT_PX
    for name, images in episode.images.items():
        below = top + _narrow(images[0]).shape[0]
        axes.text(
            -8,
            (top + below) / 2,
            lanes.cut(name, tracks.ROW_WORDS_PT, AXIS_PT),
            fontsize=AXIS_PT,
            ha="right",
            va="center",
            parse_math=False,
        )
        top = below
