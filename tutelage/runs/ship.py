"""Puts a trained policy under `models/`: half precision, evaluated as shipped, with a card that says its origin."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from policies.checkpoint import read_checkpoint, save_checkpoint
from policies.registry import models_folder
from tutelage.runs.collect import EVALUATION_SEEDS_FROM
from tutelage.runs.evaluate import EvaluateConfig, Evaluation, evaluate
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
        episodes: evaluation episodes.
        data: how the demonstrations were made, a command that makes them again.
        processes: parallel processes of the evaluation.
    """

    run: Path
    name: str
    data: str
    script: str = "tutelage train"
    task: str = "PickCube"
    episodes: int = 100
    processes: int = 2


def ship(config: ShipConfig) -> Evaluation:
    """Write `models/<name>` and return the evaluation of what was written.

    Raises:
        ConfigurationError: there is a model of this name, or the run has no `config.json`.
        CheckpointError: the run's checkpoint is missing or corrupt.
    """
    target = models_folder() / config.name
    if target.exists():
        raise ConfigurationError(f"{target} exists: remove it first, history keeps every copy")
    training = config.run / "config.json"
    if not training.is_file():
        raise ConfigurationError(f"{training} is missing: it says how the policy was trained")
    checkpoint = read_checkpoint(config.run / "policy")
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / config.name
        save_checkpoint(trial, checkpoint, created_by="tutelage ship", half=True)
        evaluation = evaluate(
            EvaluateConfig(policy=str(trial), task=config.task, episodes=config.episodes, processes=config.processes)
        )
    card = _card(config, json.loads(training.read_text(encoding="utf-8")), evaluation)
    save_checkpoint(target, checkpoint, created_by="tutelage ship", half=True, card=card)
    return evaluation


def _card(config: ShipConfig, training: dict[str, object], evaluation: Evaluation) -> str:
    low, high = evaluation.interval
    settings = json.dumps(_public(training), indent=1)
    return (
        f"# {config.name}\n\n"
        f"- Task: {config.task}, in the twin, from two cameras and the arm's state.\n"
        f"- Data: simulated demonstrations of the scripted expert, made by `{config.data}`.\n"
        f"- Script: `{config.script}` with the settings below.\n"
        f"- Score: {evaluation.successes} of {len(evaluation.results)} episodes in the one-process loop "
        f"(95 % Wilson interval {low:.3f} .. {high:.3f}), seeds {EVALUATION_SEEDS_FROM} .. {evaluation.seeds[-1]}; "
        f"no training used these. `tutelage eval --policy {config.name} --task {config.task}` measures it again.\n"
        "- Licence: Apache-2.0, like the code; trained on nothing but the twin's own pictures.\n"
        "- Limits: knows rooms of the split that it was trained in only; says nothing about a real camera.\n\n"
        f"```json\n{settings}\n```\n"
    )


def _public(settings: object) -> object:
    """Return the settings without the folders of the machine that trained."""
    if not isinstance(settings, dict):
        return settings
    return {key: _public(value) for key, value in settings.items() if key not in FOLDERS}
