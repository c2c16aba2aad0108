"""Trains a trunk: warm-up, half cosine, running average of the weights, resumable at any batch.

The run's folder is that of `policies.training_run` and, at the end, holds the sealed trunk `trunk/`, ready for
`encoder: trunk:<folder>`.
"""

from __future__ import annotations

import json
from pathlib import Path

from policies.training_run import Finished, RunSettings, run_training
from policies.trunk.config import TrunkConfig
from policies.trunk.training import MakeObjective, TrunkTraining
from tutelage_core.clock import Clock
from tutelage_core.config import to_mapping
from tutelage_core.encoders.trunk_folder import TrunkSpec, save_trunk

CREATED_BY = "tutelage train trunk"
TRUNK_FOLDER = "trunk"


def train_trunk(
    image_size: tuple[int, int],
    make_objective: MakeObjective,
    config: TrunkConfig,
    folder: Path,
    *,
    method: str,
    data: str,
    resume: bool = False,
    show_progress: bool = True,
    clock: Clock | None = None,
) -> dict[str, float]:
    """Train a trunk and seal it as `folder/trunk`.

    Args:
        image_size: height and width of the images [px].
        make_objective: builds data, heads and loss.
        config: every number of the training.
        folder: the run's folder.
        method: name of the method, for the spec.
        data: what it was trained on, in words, for the card.
        resume: go on from `folder/resume` if it is there.
        show_progress: draw a progress bar.
        clock: for the time budget; the machine's steady clock if None.

    Returns:
        The errors on the held-out moments.

    Raises:
        ConfigurationError: data, configuration and the state to resume from do not belong together, or the folder
            holds another run and `resume` is off.
        RuntimeError: the gradient is no longer finite.
    """
    training = TrunkTraining(image_size, make_objective, config)
    facts = {
        "method": method,
        "data": data,
        "config": to_mapping(config),
        "seed": config.seed,
        "moments": len(training.train_rows),
    }
    settings = RunSettings(
        CREATED_BY, config.log_every, config.save_every_s, config.budget_s, resume=resume, show_progress=show_progress
    )
    finished = run_training(training, folder, settings, facts, clock=clock)
    spec = TrunkSpec(method, *image_size, training.objective.cameras, config.shape)
    card = _card(finished, training.step)
    save_trunk(folder / TRUNK_FOLDER, spec, training.averaged_trunk(), created_by=CREATED_BY, card=card)
    return dict(finished.errors)


def _card(finished: Finished, steps: int) -> str:
    run = finished.facts
    scores = "\n".join(f"  - {name}: {value:.2f}" for name, value in finished.errors.items()) or "  - none held out"
    return (
        "# Image trunk\n\n"
        f"- Method: {run['method']}.\n"
        f"- Data: {run['data']}; {run['moments']} moments to learn from.\n"
        f"- Script: `{CREATED_BY}` with the settings below, seed {run['seed']}, {steps} batches in "
        f"{finished.elapsed_s:.0f} s, {run['threads']} thread(s).\n"
        f"- Score on moments that were held out (training's own head):\n{scores}\n"
        "- Licence: that of the data; for the twin's pictures Apache-2.0, like the code.\n"
        "- Limits: knows the images that it was trained on; measure before you trust it on others.\n\n"
        f"```json\n{json.dumps(run, indent=1)}\n```\n"
    )
