"""Trains a Robot Utility Model, resumable at any batch; keeps several of its last states for rollouts to choose from.

The run's folder is that of `policies.training_run`, and `candidates/` holds one checkpoint for each state that was
kept: how near a policy comes to held-out chunks says little about how often it succeeds.
"""

from __future__ import annotations

from pathlib import Path

import torch

from policies import processes
from policies.bc.batches import Frames
from policies.rum.policy import RumPolicy, make_spec
from policies.rum.train_config import RumConfig
from policies.rum.training import RumTraining
from policies.training_run import Demonstrated, RunSettings, run_training
from tutelage_core.clock import Clock
from tutelage_core.config import to_mapping
from tutelage_core.errors import ConfigurationError

CREATED_BY = "tutelage train rum"
CANDIDATES = "candidates"


def train(
    frames: Frames,
    config: RumConfig,
    state_keys: tuple[str, ...],
    demonstrated: Demonstrated,
    folder: Path,
    *,
    device: torch.device | None = None,
    resume: bool = False,
    show_progress: bool = True,
    clock: Clock | None = None,
) -> list[Path]:
    """Train a policy; with several processes each of them calls this, and the first one writes.

    Args:
        frames: the demonstrations, of the policy's cameras only.
        config: every number of the training.
        state_keys: what `frames.state` is made of.
        demonstrated: rate, action and tasks of the demonstrations.
        folder: the run's folder.
        device: where this process computes; the CPU if None.
        resume: go on from `folder/resume` if it is there.
        show_progress: draw a progress bar.
        clock: for the times in the metrics; the machine's steady clock if None.

    Returns:
        The checkpoints of the candidates, the oldest first; the last one is the end of the training.

    Raises:
        ConfigurationError: data, configuration and the state to resume from do not belong together, or the folder
            holds another run and `resume` is off.
        RuntimeError: the gradient is no longer finite.
    """
    training = RumTraining(frames, config, state_keys, device)
    places = {step: folder / CANDIDATES / f"step-{step:06d}" for step in candidate_steps(config, training.total_steps)}

    def keep(step: int) -> None:
        if step in places and processes.rank() == 0:
            policy_of(training, demonstrated).save(places[step], created_by=CREATED_BY)

    facts = {
        "config": to_mapping(config),
        "seed": config.seed,
        "frames": len(frames.state),
        "training_frames": len(training.train_rows),
        "device": str(training.device),
    }
    settings = RunSettings(
        CREATED_BY, config.log_every, config.save_every_s, resume=resume, show_progress=show_progress
    )
    run_training(training, folder, settings, facts, clock=clock, after_step=keep)
    missing = [place.name for place in places.values() if processes.rank() == 0 and not place.is_dir()]
    if missing:
        raise ConfigurationError(f"{folder}: candidates {', '.join(missing)} are gone; train again")
    return list(places.values())


def candidate_steps(config: RumConfig, total: int) -> list[int]:
    """Return after which batches a candidate is kept: evenly over the last half of the policy's, and at the end."""
    first = total - config.steps // 2
    return sorted({total - round((total - first) * k / config.candidates) for k in range(config.candidates)})


def policy_of(training: RumTraining, demonstrated: Demonstrated) -> RumPolicy:
    """Return what the training has come to, with the averaged weights."""
    network = training.averaged_network().to("cpu")
    spec = make_spec(
        network.config,
        training.cameras,
        action=demonstrated.action,
        control_rate_hz=demonstrated.control_rate_hz,
        tasks=demonstrated.tasks,
    )
    return RumPolicy(spec, network, training.scales)
