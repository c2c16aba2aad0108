"""Puts a trained policy under `models/`: half precision, evaluated as shipped, with a card that says its origin."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from policies.checkpoint import read_checkpoint, save_checkpoint
from policies.registry import models_folder
from sim.parameters import Split
from tutelage.runs.evaluate import EvaluateConfig, Evaluation, evaluate
from tutelage_core.contract import PolicySpec
from tutelage_core.errors import ConfigurationError

FOLDERS = ("output", "dataset", "demonstrations", "classifier", "resume")
"""Settings that say nothing outside of the machine that trained."""


@dataclass(frozen=True)
class ShipConfig:
    """Settings of `tutelage ship`.

    Attributes:
        run: folder of a training run, with `policy/` and `config.json`.
        name: name under `models/`.
        task: task that it is evaluated on.
        rooms: splits of rooms that it is evaluated in, one after the other.
        episodes: evaluation episodes.
        data: how the demonstrations were made, a command that makes them again.
        processes: parallel processes of the evaluation.
    """

    run: Path
    name: str
    data: str
    script: str = "tutelage train"
    task: str = "PickCube"
    rooms: tuple[Split, ...] = ("lab",)
    episodes: int = 100
    processes: int = 2


def ship(config: ShipConfig) -> list[Evaluation]:
    """Write `models/<name>` and return the evaluations of what was written, one for each split.

    Raises:
        ConfigurationError: there is a model of this name, the run has no `config.json`, or no split is named.
        CheckpointError: the run's checkpoint is missing or corrupt.
    """
    target = models_folder() / config.name
    if not config.rooms:
        raise ConfigurationError("ship: name a split of rooms to evaluate in, such as lab")
    if target.exists():
        raise ConfigurationError(f"{target} exists: remove it first, history keeps every copy")
    training = config.run / "config.json"
    if not training.is_file():
        raise ConfigurationError(f"{training} is missing: it says how the policy was trained")
    checkpoint = read_checkpoint(config.run / "policy")
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / config.name
        save_checkpoint(trial, checkpoint, created_by="tutelage ship", half=True)
        asked = EvaluateConfig(
            policy=str(trial), task=config.task, episodes=config.episodes, processes=config.processes
        )
        evaluations = [evaluate(replace(asked, rooms=rooms)) for rooms in config.rooms]
    card = _card(config, checkpoint.spec, json.loads(training.read_text(encoding="utf-8")), evaluations)
    save_checkpoint(target, checkpoint, created_by="tutelage ship", half=True, card=card)
    return evaluations


def _card(config: ShipConfig, spec: PolicySpec, training: dict[str, object], evaluations: Sequence[Evaluation]) -> str:
    cameras = " and ".join(spec.cameras) + (" cameras" if len(spec.cameras) > 1 else " camera")
    state = f" and {', '.join(spec.state_keys)}" if spec.state_keys else ""
    settings = json.dumps(_public(training), indent=1)
    return (
        f"# {config.name}\n\n"
        f"- Task: {config.task}, in the twin, from the {cameras}{state}.\n"
        f"- Data: simulated demonstrations of the scripted expert, made by `{config.data}`.\n"
        f"- Script: `{config.script}` with the settings below.\n"
        + "".join(_score(config, evaluation) for evaluation in evaluations)
        + "- Licence: Apache-2.0, like the code; trained on nothing but the twin's own pictures.\n"
        "- Limits: knows rooms of the split that it was trained in only; says nothing about a real camera.\n\n"
        f"```json\n{settings}\n```\n"
    )


def _public(settings: object) -> object:
    """Return the settings without the folders of the machine that trained."""
    if not isinstance(settings, dict):
        return settings
    return {key: _public(value) for key, value in settings.items() if key not in FOLDERS}


def _score(config: ShipConfig, evaluation: Evaluation) -> str:
    low, high = evaluation.interval
    rooms = evaluation.config.rooms
    where = "" if rooms == "lab" else f" --rooms {rooms}"
    again = f"tutelage eval --policy {config.name} --task {config.task}{where}"
    left_out = (
        f", {len(evaluation.rejected)} rooms that the expert cannot solve left out" if evaluation.rejected else ""
    )
    return (
        f"- Score, rooms `{rooms}`: {evaluation.successes} of {len(evaluation.results)} episodes in the one-process "
        f"loop (95 % Wilson interval {low:.3f} .. {high:.3f}), seeds {evaluation.seeds[0]} .. {evaluation.seeds[-1]}"
        f"{left_out}; no training used these. `{again}` measures it again.\n"
    )
