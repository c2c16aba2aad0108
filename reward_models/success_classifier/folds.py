"""Divides episodes into folds, each held out of one network; frames of one episode are never in two of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tutelage_core.errors import ConfigurationError

_FOLDS = 1
"""Key of the named random generator."""


def folds_of(scenes: Sequence[str], succeeded: Sequence[bool], folds: int, seed: int) -> tuple[int, ...]:
    """Return the fold of each episode; successes and failures are spread over the folds evenly.

    Args:
        scenes: scene of each episode. Episodes of one scene, such as a demonstration and a failure that began alike,
            stay together: the picture of the scene alone would tell one from the other.
        succeeded: whether each shows success.
        folds: how many.
        seed: draws them.

    Raises:
        ConfigurationError: a fold would hold no success.
    """
    with_success = {scene for scene, success in zip(scenes, succeeded, strict=True) if success}
    if len(with_success) < folds:
        raise ConfigurationError(
            f"{len(with_success)} of {len(set(scenes))} scenes show success, too few to split episodes into {folds} "
            "folds with a success in each: record more, label those that succeeded, or ask for fewer folds (at least 2)"
        )
    rng = np.random.default_rng([seed, _FOLDS])
    fold: dict[str, int] = {}
    for group in (with_success, set(scenes) - with_success):
        ordered = sorted(group)
        for place, number in enumerate(rng.permutation(len(ordered)).tolist(), len(fold)):
            fold[ordered[number]] = place % folds
    return tuple(fold[scene] for scene in scenes)
