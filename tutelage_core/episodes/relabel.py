"""Labels of an episode that a repair has shortened: all go with it, rewards for the periods that are left."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tutelage_core.config import to_mapping
from tutelage_core.episodes.labels import LABELS_FILE, Label, read_labels, shortened
from tutelage_core.episodes.manifest import PARTIAL_SUFFIX, write_synced
from tutelage_core.errors import ConfigurationError


def carry_labels(source: Path, fresh: Path, all_ns: Sequence[int], kept_ns: Sequence[int]) -> tuple[str, ...]:
    """Write the labels of the episode in `source` beside the shortened one in `fresh`.

    Args:
        source: folder of the original.
        fresh: folder of the new recording.
        all_ns: stamps of the control periods that could be read of the original, ascending [ns].
        kept_ns: stamps of those that are kept [ns].

    Returns:
        What could not be carried over, a sentence each.

    Raises:
        EpisodeError: a line is no label.
    """
    if not (source / LABELS_FILE).is_file():
        return ()
    kept, lost, lines = set(kept_ns), list[str](), list[str]()
    mask = [stamp in kept for stamp in all_ns]
    for label in read_labels(source.parent, source.name.removesuffix(PARTIAL_SUFFIX)):
        carried = _shortened(label, mask)
        if carried is None or (label.rewards is not None and carried.rewards is None):
            model = label.rewards.model if label.rewards is not None else ""
            lost.append(f"rewards of {model}: which control periods they are of is not known any more")
        if carried is not None:
            lines.append(json.dumps(to_mapping(carried), allow_nan=False) + "\n")
    write_synced(fresh / LABELS_FILE, "".join(lines))
    return tuple(lost)


def _shortened(label: Label, mask: list[bool]) -> Label | None:
    """Return the label with rewards for the kept periods only; without them where they cannot be matched."""
    if label.rewards is None or len(label.rewards.values) == len(mask):
        return shortened(label, mask)
    try:
        return replace(label, rewards=None)
    except ConfigurationError:  # it said nothing else
        return None
