"""Drives a training from its first batch to its last: progress bar, metrics, states to resume from.

The run's folder holds `config.json` (settings, seed, versions), `metrics.jsonl` and `resume/` (weights and optimiser,
sealed). What comes of the training is its own to store. With several processes only the first one writes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from tqdm import tqdm

from policies import processes
from policies.training_state import TrainingState, read_training_state, write_training_state
from tutelage_core.clock import Clock, SteadyClock
from tutelage_core.contract import NS_PER_S
from tutelage_core.errors import ConfigurationError
from tutelage_core.versions import versions

METRICS = "metrics.jsonl"
RESUME = "resume"
POLICY_FOLDER = "policy"
"""Where the checkpoint of a run comes to stand."""


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


class Training(Protocol):
    """What can be driven."""

    step: int
    """Batches done."""

    @property
    def total_steps(self) -> int:
        """Batches in all."""
        ...

    @property
    def steps_per_epoch(self) -> int:
        """Batches between two validations."""
        ...

    def take_step(self, progress: float, /) -> dict[str, float]:
        """Train on the next batch and return what was found.

        Args:
            progress: part of the run that is over, 0..1.

        Raises:
            RuntimeError: the gradient is no longer finite.
        """
        ...

    def validate(self) -> dict[str, float]:
        """Return errors on what was held out; empty if nothing was."""
        ...

    def state(self, elapsed_s: float) -> TrainingState:
        """Return all that a later process needs to go on."""
        ...

    def restore(self, state: TrainingState) -> None:
        """Go on from `state`.

        Raises:
            ConfigurationError: it belongs to other data or another configuration.
        """
        ...


@dataclass(frozen=True)
class RunSettings:
    """How a training is driven.

    Attributes:
        created_by: command that drives it, for the seals.
        log_every: batches between two lines of metrics.
        save_every_s: wall time between two states to resume from [s].
        budget_s: ends after this wall time at the latest [s]; None for no limit.
        resume: go on from `<folder>/resume` if it is there.
        show_progress: draw a progress bar, on a terminal.
    """

    created_by: str
    log_every: int
    save_every_s: float
    budget_s: float | None = None
    resume: bool = False
    show_progress: bool = True


@dataclass(frozen=True)
class Finished:
    """What is known at the end of a run.

    Attributes:
        errors: on what was held out.
        elapsed_s: wall time of all its processes, one after the other [s].
        facts: what `config.json` holds.
    """

    errors: Mapping[str, float]
    elapsed_s: float
    facts: Mapping[str, object]


def run_training(
    training: Training,
    folder: Path,
    settings: RunSettings,
    facts: Mapping[str, object],
    *,
    clock: Clock | None = None,
    after_step: Callable[[int], None] | None = None,
) -> Finished:
    """Take every step that is left.

    Args:
        training: what is driven; where `settings.resume` finds a state it goes on from there.
        folder: the run's folder.
        settings: how.
        facts: settings, seed and data, plain; versions and threads are added.
        clock: for the time budget; the machine's steady clock if None.
        after_step: called with the number of batches done after each of them.

    Raises:
        ConfigurationError: the state to resume from does not belong to this training, or the folder holds another run
            and `resume` is off.
        CheckpointError: that state is damaged.
        RuntimeError: the gradient is no longer finite.
    """
    clock = clock or SteadyClock()
    resume_folder, metrics_path = folder / RESUME, folder / METRICS
    before_s = 0.0
    if settings.resume and resume_folder.exists():
        state = read_training_state(resume_folder)
        training.restore(state)
        before_s = state.elapsed_s
    elif metrics_path.exists():
        raise ConfigurationError(
            f"{folder} holds another run; choose another folder" + ("" if settings.resume else ", or resume that run")
        )
    processes.wait_for_all()  # nobody writes before everybody has looked
    leads = processes.rank() == 0
    whole = {**facts, "threads": torch.get_num_threads(), "processes": processes.count(), "versions": versions()}
    if leads:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(whole, indent=2), encoding="utf-8")
    begun_ns, saved_s = clock.now_ns(), before_s

    def elapsed_s() -> float:
        return before_s + (clock.now_ns() - begun_ns) / NS_PER_S

    def note(values: Mapping[str, float]) -> None:
        line = json.dumps({"step": training.step, "elapsed_s": round(elapsed_s(), 2), **values})
        if leads:
            with metrics_path.open("a", encoding="utf-8") as metrics:
                metrics.write(line + "\n")

    def save() -> None:
        if leads:
            write_training_state(resume_folder, training.state(elapsed_s()), settings.created_by)

    hidden = None if settings.show_progress and leads else True  # None: shown on a terminal only
    with tqdm(total=training.total_steps, initial=training.step, disable=hidden, unit="batch") as bar:
        for progress in _progress(training, settings.budget_s, elapsed_s):
            figures = training.take_step(progress)
            bar.update()
            if training.step % settings.log_every == 0 or training.step == training.total_steps:
                note(figures)
                bar.set_postfix({name: f"{value:.3f}" for name, value in figures.items()})
            if training.step % training.steps_per_epoch == 0:
                note(training.validate())
            if elapsed_s() - saved_s > settings.save_every_s:
                save()
                saved_s = elapsed_s()
            if after_step is not None:
                after_step(training.step)
    errors = training.validate()
    note(errors)
    save()
    return Finished(errors, elapsed_s(), whole)


def _progress(training: Training, budget_s: float | None, elapsed_s: Callable[[], float]) -> Iterator[float]:
    """Yield the part of the run that is over, by batches or by the clock, whichever is further, until it is all."""
    while True:
        progress = training.step / training.total_steps
        if budget_s is not None:
            progress = max(progress, processes.of_the_first(elapsed_s() / budget_s))
        if progress >= 1.0:
            return
        yield progress
