"""Trains behaviour cloning: AdamW, warm-up, half cosine, running average of the weights, resumable at any batch.

The run's folder holds `config.json` (settings, seed, versions, git hash), `metrics.jsonl`, `resume/` (weights and
optimiser, sealed, safetensors and JSON) and, at the end, the checkpoint `policy/`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from policies.bc.batches import Frames
from policies.bc.config import BcConfig
from policies.bc.policy import BcPolicy, make_spec
from policies.bc.training import Training
from policies.bc.training_state import read_training_state, write_training_state
from tutelage_core.clock import Clock, SteadyClock
from tutelage_core.config import to_mapping
from tutelage_core.contract import NS_PER_S
from tutelage_core.errors import ConfigurationError
from tutelage_core.versions import versions

CREATED_BY = "tutelage train"
POLICY_FOLDER = "policy"


@dataclass(frozen=True)
class Demonstrated:
    """What the data cannot say about themselves and the policy's spec must.

    Attributes:
        action: representation of the steps.
        control_rate_hz: rate at which they were recorded [Hz].
        tasks: tasks that they show.
    """

    action: str
    control_rate_hz: float
    tasks: tuple[str, ...]


def train(
    frames: Frames,
    config: BcConfig,
    demonstrated: Demonstrated,
    folder: Path,
    *,
    resume: bool = False,
    show_progress: bool = True,
    clock: Clock | None = None,
) -> BcPolicy:
    """Train a policy and store it as the checkpoint `folder/policy`.

    Args:
        frames: the demonstrations.
        config: every number of the training.
        demonstrated: rate, action and tasks of the demonstrations.
        folder: the run's folder.
        resume: go on from `folder/resume` if it is there.
        show_progress: draw a progress bar.
        clock: for the time budget; the machine's steady clock if None.

    Returns:
        The policy with the averaged weights.

    Raises:
        ConfigurationError: data, configuration and the state to resume from do not belong together, or the folder
            holds another run and `resume` is off.
        RuntimeError: the gradient is no longer finite.
    """
    clock = clock or SteadyClock()
    training = Training(frames, config)
    metrics_path = folder / "metrics.jsonl"
    resume_folder = folder / "resume"
    elapsed_before_s = 0.0
    if resume and resume_folder.exists():
        state = read_training_state(resume_folder)
        training.restore(state)
        elapsed_before_s = state.elapsed_s
    elif metrics_path.exists():
        raise ConfigurationError(
            f"{folder} holds another run; choose another folder" + ("" if resume else ", or resume that run")
        )
    folder.mkdir(parents=True, exist_ok=True)
    run = {
        "config": to_mapping(config),
        "seed": config.seed,
        "frames": len(frames.state),
        "training_frames": len(training.train_rows),
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }
    (folder / "config.json").write_text(json.dumps(run, indent=2), encoding="utf-8")

    start_ns = clock.now_ns()
    saved_s = elapsed_before_s

    def elapsed_s() -> float:
        return elapsed_before_s + (clock.now_ns() - start_ns) / NS_PER_S

    with metrics_path.open("a", encoding="utf-8") as metrics:

        def note(values: dict[str, float]) -> None:
            metrics.write(json.dumps({"step": training.step, "elapsed_s": round(elapsed_s(), 2), **values}) + "\n")
            metrics.flush()

        with tqdm(total=training.total_steps, initial=training.step, disable=not show_progress, unit="batch") as bar:
            for progress in _progress(training, config, elapsed_s):
                losses = training.take_step(progress)
                bar.update()
                if training.step % config.log_every == 0 or training.step == training.total_steps:
                    values = {name: float(value) for name, value in losses._asdict().items()}
                    note(values)
                    bar.set_postfix({name: f"{value:.3f}" for name, value in values.items()})
                if training.step % training.steps_per_epoch == 0:
                    note(training.validate())
                if elapsed_s() - saved_s > config.save_every_s:
                    write_training_state(resume_folder, training.state(elapsed_s()), CREATED_BY)
                    saved_s = elapsed_s()
        errors = training.validate()
        note(errors)
    write_training_state(resume_folder, training.state(elapsed_s()), CREATED_BY)
    spec = make_spec(
        config.model,
        training.cameras,
        action=demonstrated.action,
        control_rate_hz=demonstrated.control_rate_hz,
        tasks=demonstrated.tasks,
    )
    policy = BcPolicy(spec, training.averaged_network(), training.normalisation)
    policy.save(folder / POLICY_FOLDER, created_by=CREATED_BY)
    return policy


def _progress(training: Training, config: BcConfig, elapsed_s: Callable[[], float]) -> Iterator[float]:
    """Yield the part of the run that is over, by batches or by the clock, whichever is further, until it is all."""
    while True:
        progress = training.step / training.total_steps
        if config.budget_s is not None:
            progress = max(progress, elapsed_s() / config.budget_s)
        if progress >= 1.0:
            return
        yield progress
