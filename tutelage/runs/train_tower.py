"""Trains the twin tower on captioned scenes of the twin, looks at what it learnt, and seals it with a card."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from reward_models import metrics
from reward_models.image_text.captioned_frames import CaptionedFrames
from reward_models.image_text.tower_maps import kept_maps
from reward_models.image_text.tower_training import Lesson, TowerConfig, TowerTraining
from reward_models.image_text.twin_tower import TwinTower, save_tower, tower_encoders
from sim.held_things import held_thing
from sim.tasks import TASKS, make_task
from tutelage.runs.captioned_scenes import ScenesConfig, captioned_scenes
from tutelage_core.clock import SteadyClock
from tutelage_core.config import to_mapping
from tutelage_core.contract import NS_PER_S
from tutelage_core.encoders.sentence import sentence_encoder
from tutelage_core.errors import ConfigurationError
from tutelage_core.versions import versions

CREATED_BY = "tutelage train tower"
TOWER_FOLDER = "tower"
LOG = "metrics.jsonl"
THRESHOLD = "threshold"


@dataclass(frozen=True)
class TrainTowerConfig:
    """One training run of the twin tower.

    Attributes:
        output: folder of the run; the tower comes to stand in its subfolder `tower`.
        data: folder that keeps pictures and maps, `output/scenes` if not given.
        scenes: which pictures to draw.
        processes: that draw.
        threads: torch threads; what torch chooses if None.
        tower: every number of the training.
    """

    output: Path
    data: Path | None = None
    scenes: ScenesConfig = field(default_factory=ScenesConfig)
    processes: int = 1
    threads: int | None = None
    tower: TowerConfig = field(default_factory=TowerConfig)


def train(config: TrainTowerConfig) -> Path:
    """Train, and return the folder of the sealed tower.

    Pictures and maps that are there are not made again; the training itself begins anew.

    Raises:
        ConfigurationError: settings do not belong together, or the folder holds another run.
    """
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    folder = config.output / TOWER_FOLDER
    if folder.exists():
        raise ConfigurationError(f"{config.output} holds a trained tower; choose another folder")
    data = config.data or config.output / "scenes"
    frames = captioned_scenes(config.scenes, data, config.processes)
    maps = kept_maps(frames.images, tower_encoders(config.tower.shape), data)
    training = TowerTraining(Lesson.of(frames, maps, sentence_encoder(), scenes_of_tasks(), held_thing), config.tower)
    config.output.mkdir(parents=True, exist_ok=True)
    clock = SteadyClock()
    begun_ns = clock.now_ns()
    losses: list[float] = []
    with (config.output / LOG).open("w", encoding="utf-8") as log:
        for loss in tqdm(training.run(), total=training.total_steps, unit="batch", disable=None):
            losses.append(loss)
            if training.step % 50 == 0 or training.step == training.total_steps:
                seconds = (clock.now_ns() - begun_ns) / NS_PER_S
                row = {"step": training.step, "elapsed_s": round(seconds, 1), "loss": statistics.fmean(losses[-50:])}
                log.write(json.dumps(row) + "\n")
                log.flush()
    seconds = (clock.now_ns() - begun_ns) / NS_PER_S
    save_tower(folder, config.tower.shape, training.averaged(), created_by=CREATED_BY, card="")
    held_out = frames.chosen(training.held_out)
    scores = look(TwinTower.load(folder), held_out) if len(held_out) else {}
    card = _card(config, frames, scores, training.total_steps, seconds)
    done = scores.get(THRESHOLD, math.nan)
    save_tower(folder, config.tower.shape, training.averaged(), created_by=CREATED_BY, card=card, done=done)
    return folder


def scenes_of_tasks() -> dict[str, str]:
    """Return which scene each task is played in."""
    return {name: make_task(name).scene for name in TASKS}


def look(tower: TwinTower, frames: CaptionedFrames) -> dict[str, float]:
    """Return what a tower makes of moments that it did not learn from, all cameras together.

    Returns:
        `held_top1`: share of the moments with something in the gripper at which, of all sentences about what is held
        or that nothing is, the best one names what is; `auroc_<task>`: how well the fit of what was asked tells
        success from the rest.
    """
    seen = np.mean([tower.embed_images(list(frames.images[:, c])) for c in range(len(frames.cameras))], axis=0)
    read = tower.embed_texts(frames.sentences)
    found: dict[str, float] = {}
    things = {row: held_thing(text) for row, text in enumerate(frames.sentences)}
    about = np.array([row for row, thing in things.items() if thing is not None])
    hits: list[bool] = []
    for moment in range(len(frames)):
        true = {thing for row in frames.captions[moment] if row >= 0 and (thing := things[int(row)])}
        if true and len(about):
            best = int(about[int(np.argmax(read[about] @ seen[moment]))])
            hits.append(things[best] in true)
    if hits:
        found["held_top1"] = float(np.mean(hits))
        found["held_moments"] = float(len(hits))
    fits = np.sum(read[frames.wishes] * seen, axis=1)
    for number, kind in enumerate(frames.kinds):
        own = frames.tasks == number
        found[f"auroc_{kind}"] = metrics.auroc(fits[own], frames.success[own].astype(np.float64))
    if frames.success.any() and not frames.success.all():
        success = frames.success.astype(np.float64)
        found[THRESHOLD] = metrics.best_threshold(fits, success)
        found["balanced_accuracy"] = metrics.confusion(fits, success, found[THRESHOLD]).balanced_accuracy
    return found


def _card(
    config: TrainTowerConfig, frames: CaptionedFrames, scores: dict[str, float], steps: int, seconds: float
) -> str:
    told = "\n".join(f"  - {name}: {value:.3f}" for name, value in scores.items()) or "  - none held out"
    run = {"config": to_mapping(config.tower), "scenes": to_mapping(config.scenes), "versions": versions()}
    return (
        "# Twin tower\n\n"
        f"- What it is: a head on the frozen image trunks {', '.join(config.tower.shape.encoders)} and on frozen "
        "all-MiniLM-L6-v2; sentences and pictures that fit have a large cosine.\n"
        f"- Data: {len(frames)} moments of {config.scenes.episodes} episodes of each of {len(config.scenes.tasks)} "
        f"tasks, each episode in a room of its own of split '{config.scenes.split}', with {len(frames.sentences)} "
        f"sentences that are true of them; cameras {', '.join(frames.cameras)}.\n"
        f"- Script: `{CREATED_BY}` with the settings below, seed {config.tower.seed}, {steps} batches in "
        f"{seconds:.0f} s, {torch.get_num_threads()} thread(s).\n"
        f"- Score on episodes that were held out:\n{told}\n"
        "- Licence: Apache-2.0, like the code; the trunks and the sentence encoder are not in this folder.\n"
        "- Limits: knows the twin's robot, things and words, in rendered pictures. It has never seen a photograph. A "
        "wish that it has not read is as good as the sentence encoder takes it to be.\n\n"
        f"```json\n{json.dumps(run, indent=1)}\n```\n"
    )
