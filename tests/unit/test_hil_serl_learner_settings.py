"""A learner's settings: a preset, and what is different from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.hil_serl.learner_settings import LearnerSettings
from policies.hil_serl.presets import preset
from tutelage_core.config import load_yaml
from tutelage_core.errors import ConfigurationError, UnknownNameError

pytestmark = pytest.mark.unit


def settings(tmp_path: Path, text: str) -> LearnerSettings:
    file = tmp_path / "learner.yaml"
    file.write_text(text, encoding="utf-8")
    return load_yaml(file, LearnerSettings)


def test_preset_stays_but_for_what_is_overridden(tmp_path: Path):
    found = settings(
        tmp_path,
        """
        preset: rlpd
        overrides:
          schedule: {updates_per_step: 2, lag_steps: 50}
          model: {encoder: {grid: [2, 2]}, critic: {drawn: null}}
        views: {views: 1}
        """,
    )
    config, plain = found.algorithm(seed=3), preset("rlpd")
    assert (config.schedule.updates_per_step, config.schedule.lag_steps) == (2.0, 50)
    assert config.schedule.training_starts == plain.schedule.training_starts
    assert config.model.encoder.grid == (2, 2)
    assert (config.model.critic.critics, config.model.critic.drawn) == (plain.model.critic.critics, None)
    assert config.loss == plain.loss
    assert config.learner.seed == 3
    assert found.views.views == 1


def test_defaults_are_the_preset_of_that_name():
    assert LearnerSettings().algorithm(seed=0) == preset("hil_serl")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("overrides: {schedule: {updates_per_stp: 1}}", "updates_per_step"),
        ("overrides: {schedul: {}}", "schedule"),
        ("presett: rlpd", "preset"),
        ("preset: rlpq", "rlpd"),
    ],
)
def test_names_that_there_are_not_are_refused_with_the_legal_ones(tmp_path: Path, text: str, told: str):
    with pytest.raises(UnknownNameError, match=told):
        settings(tmp_path, text).algorithm(seed=0)


def test_values_that_do_not_fit_are_refused_by_name(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="updates_per_step"):
        settings(tmp_path, "overrides: {schedule: {updates_per_step: often}}").algorithm(seed=0)
