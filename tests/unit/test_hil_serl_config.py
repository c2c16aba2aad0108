from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from policies.hil_serl.config import (
    ActorConfig,
    CriticConfig,
    EncoderConfig,
    HilSerlConfig,
    LearnerConfig,
    LossConfig,
    ModelConfig,
    ScheduleConfig,
)
from policies.hil_serl.presets import PRESETS, hil_serl, preset, rlpd, wsrl
from tutelage_core.config import from_mapping, to_mapping
from tutelage_core.errors import ConfigurationError, UnknownNameError

pytestmark = pytest.mark.unit


def test_defaults_are_those_of_the_paper_and_its_code() -> None:
    c = hil_serl()
    assert (c.model.critic.critics, c.model.critic.drawn) == (2, None)
    assert c.model.critic.hidden == c.model.actor.hidden == (256, 256)
    assert (c.model.encoder.embeddings, c.model.encoder.camera_features, c.model.encoder.state_features) == (8, 256, 64)
    assert (c.model.actor.std_min, c.model.actor.std_max) == (1e-5, 5.0)
    assert (c.loss.discount, c.loss.backup_entropy, c.loss.temperature_init) == (0.97, False, 0.01)
    assert c.loss.entropy_per_dimension * c.model.action_size == -3.0
    assert (c.learner.batch_size, c.learner.demonstration_ratio, c.learner.critic_actor_ratio) == (256, 0.5, 2)
    assert {c.learner.critic_rate, c.learner.actor_rate, c.learner.temperature_rate} == {3e-4}
    assert (c.learner.tau, c.learner.shift_px) == (0.005, 4)


def test_rlpd_draws_two_of_ten_critics() -> None:
    c = rlpd()
    assert (c.model.critic.critics, c.model.critic.drawn) == (10, 2)
    assert c.schedule.updates_per_step == c.learner.critic_actor_ratio == 20
    assert c.learner.demonstration_ratio == 0.5


def test_wsrl_warms_up_and_keeps_no_earlier_data() -> None:
    c = wsrl()
    assert c.schedule.first_step == c.schedule.warmup_steps == 5000
    assert c.learner.demonstration_ratio == 0.0
    assert (c.model.critic.critics, c.model.critic.drawn, c.schedule.updates_per_step) == (10, 2, 4.0)
    assert (c.learner.actor_rate, c.learner.critic_rate) == (1e-4, 3e-4)


def test_unknown_preset_is_refused_with_the_legal_ones() -> None:
    with pytest.raises(UnknownNameError, match="hil_serl, rlpd, wsrl"):
        preset("hilserl")


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json(name: str) -> None:
    config = preset(name)
    assert from_mapping(json.loads(json.dumps(to_mapping(config))), HilSerlConfig, "test") == config


@pytest.mark.parametrize(
    ("build", "settings", "named"),
    [
        (EncoderConfig, {"encoder": "resnet"}, "resnet"),
        (EncoderConfig, {"grid": (0, 4)}, "grid"),
        (EncoderConfig, {"embeddings": 0}, "embeddings"),
        (ActorConfig, {"hidden": ()}, "hidden"),
        (ActorConfig, {"std_min": 6.0}, "std_min"),
        (ActorConfig, {"std_max": float("inf")}, "std_max"),
        (CriticConfig, {"critics": 0}, "critics"),
        (CriticConfig, {"critics": 2, "drawn": 3}, "drawn"),
        (ModelConfig, {"state_keys": ("pose",)}, "pose"),
        (ModelConfig, {"state_keys": ()}, "state_keys"),
        (ModelConfig, {"action_size": 0}, "action_size"),
        (ModelConfig, {"last_scale": 0.0}, "last_scale"),
        (LossConfig, {"discount": 1.0}, "discount"),
        (LossConfig, {"temperature_init": 0.0}, "temperature_init"),
        (LossConfig, {"entropy_per_dimension": float("nan")}, "entropy_per_dimension"),
        (LearnerConfig, {"precision": "fp8"}, "fp8"),
        (LearnerConfig, {"critic_actor_ratio": 0}, "critic_actor_ratio"),
        (LearnerConfig, {"tau": 0.0}, "tau"),
        (LearnerConfig, {"actor_rate": float("nan")}, "actor_rate"),
        (LearnerConfig, {"demonstration_ratio": 1.5}, "demonstration_ratio"),
        (LearnerConfig, {"shift_px": -1}, "shift_px"),
        (ScheduleConfig, {"updates_per_step": 0.0}, "updates_per_step"),
        (ScheduleConfig, {"burst": 0}, "burst"),
        (ScheduleConfig, {"warmup_steps": -1}, "warmup_steps"),
    ],
)
def test_illegal_setting_is_refused_by_name(build: Callable[..., Any], settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        build(**settings)
