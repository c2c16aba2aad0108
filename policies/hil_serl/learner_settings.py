"""All settings of a learner that is fed by actors, as one YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from policies.hil_serl.config import HilSerlConfig
from policies.hil_serl.presets import preset
from policies.hil_serl.stored_views import ViewsConfig
from policies.hil_serl.stream_learner import StreamConfig
from policies.hil_serl.training_run import MemoryConfig
from tutelage_core.config import from_mapping, to_mapping
from tutelage_core.errors import UnknownNameError


@dataclass(frozen=True)
class LearnerSettings:
    """What a learner learns, from what, and how.

    Attributes:
        preset: named settings of the algorithm; see `presets`.
        overrides: what is different from them, nested as `HilSerlConfig` is.
        tasks: that the policy is for.
        cameras: that it looks through; all of the robot's if empty.
        views: what is stored of each observation; the same as its actors'.
        memory: how much is kept.
        stream: how often something is written or sent.
    """

    preset: str = "hil_serl"
    overrides: Mapping[str, Any] = field(default_factory=dict[str, Any])
    tasks: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ()
    views: ViewsConfig = field(default_factory=ViewsConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    stream: StreamConfig = field(default_factory=StreamConfig)

    def algorithm(self, seed: int) -> HilSerlConfig:
        """Return every number of the algorithm, with the seed of a run.

        Raises:
            UnknownNameError: an override is of nothing that can be set.
            ConfigurationError: a value does not fit.
        """
        plain = _merged(to_mapping(preset(self.preset)), self.overrides, "learner settings: overrides")
        config = from_mapping(plain, HilSerlConfig, "learner settings")
        return replace(config, learner=replace(config.learner, seed=seed))


def _merged(base: Mapping[str, Any], overrides: Mapping[str, Any], where: str) -> dict[str, Any]:
    for key in overrides:
        if key not in base:
            raise UnknownNameError("key", str(key), base, where)
    return {
        key: _merged(value, overrides[key], f"{where}.{key}")
        if isinstance(value, Mapping) and isinstance(overrides.get(key), Mapping)
        else overrides.get(key, value)
        for key, value in base.items()
    }
