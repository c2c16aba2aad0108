"""Reward models that a verifier node loads by name: what they say follows the file that `TOLD` names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from reward_models.reward_model import RewardSpec, Score, ScoreStatus
from tutelage_core.types import Observation

TOLD = "TUTELAGE_TEST_VERDICTS"
"""Environment variable with the file of answers, one a line: yes, no or silent; the last one is for all that follow."""


class Told:
    """Says of all frames of a question what the next line of the file says."""

    spec = RewardSpec("told", {"wrist": None}, has_success=True)

    def __init__(self) -> None:
        self.asked = 0

    def score(self, frames: Sequence[Observation], task: str) -> list[Score]:
        lines = Path(os.environ[TOLD]).read_text(encoding="utf-8").split()
        word = lines[min(self.asked, len(lines) - 1)]
        self.asked += 1
        if word == "silent":
            return [Score.failed(ScoreStatus.TIMEOUT, frame.stamp_ns, "no answer") for frame in frames]
        value = {"yes": 0.9, "no": 0.1}[word]
        return [Score(value, ScoreStatus.OK, frame.stamp_ns, success=value) for frame in frames]


def make_told() -> Told:
    return Told()
