"""Bars with words on a time axis, in as many lanes as it takes that no words cover others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

MAX_LANES = 6
"""What finds no lane is drawn as a bar without words in the last one."""

MAX_CHARACTERS = 90
WORDS_PT = 7.0
PT_PER_INCH = 72.0
GAP_PT = 4.0


@dataclass(frozen=True)
class Bar:
    """Words about the time from `from_s` to `to_s` [s], with the colour of their bar."""

    words: str
    from_s: float
    to_s: float
    colour: str


@dataclass(frozen=True)
class PlacedBar:
    """A bar, its lane from the top, and where its words begin [s]; None where there was no room for them."""

    bar: Bar
    lane: int
    words_at_s: float | None


def place(bars: Sequence[Bar], end_s: float, width_in: float) -> tuple[PlacedBar, ...]:
    """Place each bar in the highest lane where its words fit behind the ones before it.

    Args:
        bars: in the order of their beginnings.
        end_s: where the time axis ends [s]; words that would go beyond begin earlier.
        width_in: how wide the axis is drawn [inch].
    """
    free_s = [float("-inf")] * MAX_LANES
    placed: list[PlacedBar] = []
    for bar in bars:
        words_s = width_pt(_short(bar.words)) / PT_PER_INCH / width_in * end_s
        gap_s = GAP_PT / PT_PER_INCH / width_in * end_s
        at_s = max(min(bar.from_s, end_s - words_s), 0.0)
        lane = next((number for number, until_s in enumerate(free_s) if until_s <= at_s), None)
        if lane is None:
            placed.append(PlacedBar(bar, MAX_LANES - 1, None))
            continue
        free_s[lane] = max(at_s + words_s, bar.to_s) + gap_s if words_s else bar.to_s
        placed.append(PlacedBar(bar, lane, at_s))
    return tuple(placed)


def draw(axes: Axes, placed: Sequence[PlacedBar]) -> None:
    """Draw placed bars; lane 0 is on top, each one unit high."""
    lanes = max(item.lane for item in placed) + 1
    for item in placed:
        bar = item.bar
        axes.broken_barh(
            [(bar.from_s, bar.to_s - bar.from_s)], (item.lane + 0.08, 0.84), facecolors=bar.colour, alpha=0.45
        )
        if item.words_at_s is not None:
            axes.text(
                item.words_at_s,
                item.lane + 0.5,
                _short(bar.words),
                fontsize=WORDS_PT,
                va="center_baseline",
                parse_math=False,
                clip_on=False,
            )
    axes.set_ylim(lanes, 0)
    axes.set_yticks([])


def _short(words: str) -> str:
    plain = " ".join(words.split())
    return plain if len(plain) <= MAX_CHARACTERS else plain[: MAX_CHARACTERS - 2] + " …"


def width_pt(words: str, size_pt: float = WORDS_PT) -> float:
    """Return how wide words are drawn in letters of `size_pt` [pt]."""
    width, _, _ = text_to_path.get_text_width_height_descent(words, FontProperties(size=size_pt), ismath=False)
    return float(width)


def cut(words: str, most_pt: float, size_pt: float = WORDS_PT) -> str:
    """Return as much of the words as is at most `most_pt` wide [pt], with dots where something is missing."""
    if width_pt(words, size_pt) <= most_pt:
        return words
    while words and width_pt(words + "…", size_pt) > most_pt:
        words = words[:-1]
    return words + "…"
