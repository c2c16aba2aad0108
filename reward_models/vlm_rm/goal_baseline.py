"""The reward of VLM-RM: cosine of picture and sentence, and its goal-baseline regularisation (section 3.2).

::

    g, b, s   embeddings of the goal's sentence, of a baseline sentence that is true anyhow, and of the picture; all of
              length 1
    L         the line through b and g
    R(s)      = 1 - 1/2 || alpha proj_L(s) + (1 - alpha) s - g ||^2

At alpha = 0 this is the cosine. At alpha = 1 only what lies along g - b counts, and a picture that has nothing to do
with either sentence is worth 0.75 where the two are at right angles: a large alpha *raises* what means nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage_core.errors import ConfigurationError

Embeddings = NDArray[np.float64]
"""One embedding in each row, shape (n, features)."""

SAME = 1e-6
"""Sentences whose embeddings are nearer than this say the same."""


def normalised(embeddings: NDArray[np.floating]) -> Embeddings:
    """Return the embeddings at length 1, shape (n, features).

    Raises:
        ValueError: the shape is another one, a number is not finite, or an embedding has no length.
    """
    found = np.asarray(embeddings, np.float64)
    if found.ndim != 2 or not np.isfinite(found).all():
        raise ValueError(f"embeddings must be finite and of shape (n, features), got shape {found.shape}")
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    if not (lengths > 0.0).all():
        raise ValueError("an embedding has length 0: it has no direction")
    return found / lengths


@dataclass(frozen=True)
class GoalBaseline:
    """What pictures are compared with.

    Attributes:
        goal: shape (features,).
        baseline: shape (features,); None where there is none, and alpha is 0.
        alpha: strength of the regularisation, 0..1.
    """

    goal: NDArray[np.float64]
    baseline: NDArray[np.float64] | None = None
    alpha: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be compared with.

        Raises:
            ConfigurationError: alpha is out of range or lacks a baseline, or both sentences say the same.
        """
        if not 0.0 <= self.alpha <= 1.0:
            raise ConfigurationError(f"VLM-RM: alpha must be in 0..1, got {self.alpha}")
        if self.baseline is None and self.alpha > 0.0:
            raise ConfigurationError(f"VLM-RM: alpha {self.alpha:g} needs a baseline: a sentence that is true anyhow")
        if self.baseline is not None and float(np.linalg.norm(self.goal - self.baseline)) < SAME:
            raise ConfigurationError("VLM-RM: goal and baseline say the same, so no picture is nearer to either")

    @classmethod
    def of(
        cls,
        goals: NDArray[np.floating],
        baselines: NDArray[np.floating] | None = None,
        alpha: float = 0.0,
        *,
        renormalise: bool = True,
    ) -> GoalBaseline:
        """Return what several sentences mean together: the mean of their embeddings.

        Args:
            goals: embeddings of sentences for the goal, shape (n, features); of any length.
            baselines: the same for the baseline, if there is one.
            alpha: strength of the regularisation, 0..1.
            renormalise: bring the means back to length 1, so that alpha = 0 is the cosine also for several sentences.
                The authors' code does not: its reward at alpha = 0 is then an offset and a factor away from it.

        Raises:
            ConfigurationError: see `GoalBaseline`.
            ValueError: an embedding is none, or the sentences contradict each other so that nothing is left.
        """
        means = [None if e is None else normalised(e).mean(axis=0) for e in (goals, baselines)]
        if renormalise:
            means = [None if mean is None else normalised(mean[None])[0] for mean in means]
        goal, baseline = means
        assert goal is not None
        return cls(goal, baseline, alpha)

    def cosine(self, images: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the cosine of each picture with the goal, shape (n,), -1..1; `images` of shape (n, features)."""
        return normalised(images) @ self.goal / float(np.linalg.norm(self.goal))

    def rewards(self, images: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the reward of each picture, shape (n,); `images` of shape (n, features), of any length."""
        off = normalised(images) - self.goal
        if self.baseline is not None and self.alpha > 0.0:
            along = self.goal - self.baseline
            along = along / np.linalg.norm(along)
            off = self.alpha * np.outer(off @ along, along) + (1.0 - self.alpha) * off
        return 1.0 - 0.5 * np.square(off).sum(axis=1)
