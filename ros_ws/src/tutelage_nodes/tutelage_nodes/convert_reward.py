"""Scores as messages, and back."""

from __future__ import annotations

import math

from tutelage_interfaces import msg as ti

from reward_models.reward_model import Score, ScoreStatus
from tutelage_nodes import convert


def to_reward_msg(model: str, score: Score, episode: str, success: bool, latency_s: float) -> ti.Reward:
    """Return the message of a score."""
    message = ti.Reward(
        model=model,
        episode=episode,
        value=float(score.value),
        valid=score.valid,
        status=score.status.value,
        message=score.message,
        success_probability=math.nan if score.success is None else float(score.success),
        progress=math.nan if score.progress is None else float(score.progress),
        success=success,
        model_hash=score.model,
        prompt_hash=score.prompt,
        latency_s=latency_s,
    )
    message.header.stamp = convert.to_time(score.stamp_ns)
    return message


def from_reward_msg(message: ti.Reward) -> Score:
    """Return the score of a message.

    Raises:
        ValueError: there is no such status, or it does not go with the value.
    """
    shares = (None if math.isnan(share) else share for share in (message.success_probability, message.progress))
    return Score(
        message.value,
        ScoreStatus(message.status),
        convert.to_ns(message.header.stamp),
        message.model_hash,
        message.prompt_hash,
        *shares,
        message=message.message,
    )
