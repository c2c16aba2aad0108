"""Trains behaviour cloning: AdamW, warm-up, half cosine, running average of the weights, resumable at any batch.

The run's folder is that of `policies.training_run` and, at the end, holds the checkpoint `policy/`.
"""

from __future__ import annotations

from pathlib import Path

from policies.bc.batches import Frames
from policies.bc.config import BcConfig
from policies.bc.policy import BcPolicy, make_spec
from policies.bc.training import Training
from policies.training_run import POLICY_FOLDER, Demonstrated, RunSettings, run_training
from tutelage_core.clock import Clock
from tutelage_core.config import to_mapping

CREATED_BY = "tutelage train"


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
    training = Training(frames, config)
    facts = {
        "config": to_mapping(config),
        "seed": config.seed,
        "frames": len(frames.state),
        "training_frames": len(training.train_rows),
    }
    settings = RunSettings(
        CREATED_BY, config.log_every, config.save_every_s, config.budget_s, resume=resume, show_progress=show_progress
    )
    run_training(training, folder, settings, facts, clock=clock)
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
