"""Phrases as LeRobot's `language_persistent` rows of style `motion`: each holds from its time until the next one's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard, cast

import numpy as np

from tutelage_core.episodes.labels import Label, Phrase
from tutelage_core.episodes.lerobot.layout import LANGUAGE
from tutelage_core.episodes.topics import IntArray
from tutelage_core.errors import EpisodeError

STYLE = "motion"
ROLE = "assistant"


@dataclass(frozen=True)
class LanguageRow:
    """From frame `frame` on, the arm follows `phrase`; empty where it follows none any more."""

    frame: int
    phrase: str


def phrases_of_periods(stamps_ns: IntArray, followed: Sequence[str], labelled: Sequence[Phrase]) -> tuple[str, ...]:
    """Return the phrase of each control period, empty where there is none.

    Args:
        stamps_ns: stamps of the periods, shape (T,) [ns].
        followed: the phrase that the policy followed in each of them.
        labelled: what people and programs said afterwards, in the order of their beginnings; it goes before what was
            followed, and a phrase that begins later before one that goes on.
    """
    found = list(followed)
    for phrase in labelled:
        for period in np.flatnonzero((stamps_ns >= phrase.from_ns) & (stamps_ns < phrase.to_ns)).tolist():
            found[period] = phrase.text
    return tuple(found)


def changes(phrases: Sequence[str]) -> tuple[LanguageRow, ...]:
    """Return a row for each change of phrase; none if there is no phrase at all."""
    before = ""
    rows: list[LanguageRow] = []
    for frame, phrase in enumerate(phrases):
        if phrase != before:
            rows.append(LanguageRow(frame, phrase))
        before = phrase
    return tuple(rows)


def to_records(rows: Sequence[LanguageRow], fps: int) -> list[dict[str, Any]]:
    """Return the rows as they stand in the column; the end of a phrase without another is a row with no content."""
    return [
        {
            "role": ROLE,
            "content": row.phrase or None,
            "style": STYLE,
            "timestamp": float(np.float32(row.frame / fps)),
            "camera": None,
            "tool_calls": None,
        }
        for row in rows
    ]


def to_labels(records: Sequence[object], stamps_ns: IntArray, fps: float, author: str, where: str) -> list[Label]:
    """Return rows of style `motion` of another's data set as labels that hold from their time until the next row's.

    Args:
        records: the rows as they stand in the column.
        stamps_ns: stamps of the periods, shape (T,) [ns].
        fps: frames a second.
        author: of the labels.
        where: the episode, for messages.

    Raises:
        EpisodeError: a row is none, or has no time.
    """
    rows = [(_time(record, where), record) for record in records if _is_motion(record, where)]
    rows.sort(key=lambda row: row[0])
    period_ns = round(1e9 / fps)
    end_ns = int(stamps_ns[-1]) + period_ns
    starts_ns = [_stamp(time_s, stamps_ns, fps, end_ns) for time_s, _ in rows]
    ends_ns = [*starts_ns, end_ns][1:]
    return [
        Label(0, phrase=str(record["content"]), author=author, phrase_span_ns=(start, end))
        for (_, record), start, end in zip(rows, starts_ns, ends_ns, strict=True)
        if record.get("content") and start < end
    ]


def _is_motion(record: object, where: str) -> TypeGuard[Mapping[str, Any]]:
    if not isinstance(record, Mapping):
        raise EpisodeError(f"{where}: '{LANGUAGE}' has the row {record!r}, expected one with style, content, timestamp")
    return cast("Mapping[str, Any]", record).get("style") == STYLE


def _time(record: Mapping[str, Any], where: str) -> float:
    time_s = record.get("timestamp")
    if not isinstance(time_s, float | int) or not math.isfinite(time_s):
        raise EpisodeError(
            f"{where}: '{LANGUAGE}' has a row of style '{STYLE}' whose timestamp is {time_s!r}, expected a time [s]"
        )
    return float(time_s)


def _stamp(time_s: float, stamps_ns: IntArray, fps: float, end_ns: int) -> int:
    frame = max(round(min(time_s * fps, float(len(stamps_ns)))), 0)
    return int(stamps_ns[frame]) if frame < len(stamps_ns) else end_ns
