"""Named settings: HIL-SERL, RLPD, WSRL, and HG-DAgger to compare with. Sources of the numbers stand in `config`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from policies.hil_serl.config import (
    CriticConfig,
    HilSerlConfig,
    LearnerConfig,
    LossConfig,
    ModelConfig,
    ScheduleConfig,
)
from tutelage_core.errors import UnknownNameError


def hil_serl() -> HilSerlConfig:
    """Return HIL-SERL: two critics, half of each batch from people, gamma 0.97."""
    return HilSerlConfig()


def rlpd() -> HilSerlConfig:
    """Return RLPD for sparse rewards: ten critics of which two are drawn, 20 critic updates a step.

    Its temperature begins at 1. The layers stay LayerNorm and tanh in critics and actor, where RLPD has ReLU, and
    LayerNorm in the critics only. For images RLPD takes one update a step and a temperature of 0.1.
    """
    return HilSerlConfig(
        model=ModelConfig(critic=CriticConfig(critics=10, drawn=2)),
        loss=LossConfig(discount=0.99, temperature_init=1.0),
        learner=LearnerConfig(critic_actor_ratio=20),
        schedule=ScheduleConfig(training_starts=5000, updates_per_step=20.0),
    )


def wsrl() -> HilSerlConfig:
    """Return WSRL: the starting policy drives 5,000 steps, no earlier data are kept, then 4 updates a step."""
    ours = rlpd()
    return replace(
        ours,
        learner=LearnerConfig(
            demonstration_ratio=0.0, critic_actor_ratio=4, critic_rate=3e-4, actor_rate=1e-4, temperature_rate=1e-4
        ),
        schedule=ScheduleConfig(training_starts=0, warmup_steps=5000, updates_per_step=4.0),
    )


def hg_dagger() -> HilSerlConfig:
    """Return HG-DAgger on the same networks and replay: people's steps are imitated, rewards are not looked at."""
    return HilSerlConfig(learner=LearnerConfig(demonstration_ratio=1.0, imitates=True))


PRESETS: Mapping[str, Callable[[], HilSerlConfig]] = {
    "hil_serl": hil_serl,
    "rlpd": rlpd,
    "wsrl": wsrl,
    "hg_dagger": hg_dagger,
}
"""Named settings."""


def preset(name: str) -> HilSerlConfig:
    """Return a preset by its name.

    Raises:
        UnknownNameError: there is none of this name; the legal ones are listed.
    """
    if name not in PRESETS:
        raise UnknownNameError("preset", name, PRESETS, "HIL-SERL")
    return PRESETS[name]()
