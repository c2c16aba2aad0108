"""Trains a trunk: warm-up, half cosine, running average of the weights, resumable at any batch.

The run's folder holds `config.json` (settings, seed, versions), `metrics.jsonl`, `resume/` (weights and optimiser,
sealed) and, at the end, the sealed trunk `trunk/`, ready for `encoder: trunk:<folder>`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from tqdm import tqdm

from policies.bc.training_state import read_training_state, write_training_state
from policies.trunk.config import TrunkConfig
from policies.trunk.training import MakeObjective, TrunkTraining
from tutelage_core.clock import Clock, SteadyClock
from tutelage_core.config import to_mapping
from tutelage_core.contract import NS_PER_S
from tutelage_core.encoders.trunk_folder import TrunkSpec, save_trunk
from tutelage_core.errors import ConfigurationError
from tutelage_core.versions import versions

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
    clock = clock or SteadyClock()
    training = TrunkTraining(image_size, make_objective, config)
    resume_folder, metrics_path = folder / "resume", folder / "metrics.jsonl"
    before_s = 0.0
    if resume and resume_folder.exists():
        state = read_training_state(resume_folder)
        training.restore(state)
        before_s = state.elapsed_s
    elif metrics_path.exists():
        raise ConfigurationError(
            f"{folder} holds another run; choose another folder" + ("" if resume else ", or resume that run")
        )
    folder.mkdir(parents=True, exist_ok=True)
    run = {
        "method": method,
        "data": data,
        "config": to_mapping(config),
        "seed": config.seed,
        "moments": len(training.train_rows),
        "versions": versions(),
    }
    (folder / "config.json").write_text(json.dumps(run, indent=2), encoding="utf-8")
    begun_ns, saved_s = clock.now_ns(), before_s

    def elapsed_s() -> float:
        return before_s + (clock.now_ns() - begun_ns) / NS_PER_S

    def progress() -> float:
        by_clock = 0.0 if config.budget_s is None else elapsed_s() / config.budget_s
        return max(training.step / training.total_steps, by_clock)

    with metrics_path.open("a", encoding="utf-8") as metrics:

        def note(values: dict[str, float]) -> None:
            metrics.write(json.dumps({"step": training.step, "elapsed_s": round(elapsed_s(), 2), **values}) + "\n")
            metrics.flush()

        hidden = None if show_progress else True  # None: shown on a terminal only
        with tqdm(total=training.total_steps, initial=training.step, disable=hidden, unit="batch") as bar:
            while (done := progress()) < 1.0:
                terms = training.take_step(done)
                bar.update()
                if training.step % config.log_every == 0:
                    note(terms)
                    bar.set_postfix({name: f"{value:.3f}" for name, value in terms.items()})
                if training.step % training.steps_per_epoch == 0:
                    note(training.validate())
                if elapsed_s() - saved_s > config.save_every_s:
                    write_training_state(resume_folder, training.state(elapsed_s()), CREATED_BY)
                    saved_s = elapsed_s()
        errors = training.validate()
        note(errors)
    write_training_state(resume_folder, training.state(elapsed_s()), CREATED_BY)
    spec = TrunkSpec(method, *image_size, training.objective.cameras, config.shape)
    card = _card(run, training.step, elapsed_s(), errors)
    save_trunk(folder / TRUNK_FOLDER, spec, training.averaged_trunk(), created_by=CREATED_BY, card=card)
    return errors


def _card(run: Mapping[str, object], steps: int, elapsed_s: float, errors: Mapping[str, float]) -> str:
    scores = "\n".join(f"  - {name}: {value:.2f}" for name, value in errors.items()) or "  - none held out"
    return (
        "# Image trunk\n\n"
        f"- Method: {run['method']}.\n"
        f"- Data: {run['data']}; {run['moments']} moments to learn from.\n"
        f"- Script: `{CREATED_BY}` with the settings below, seed {run['seed']}, {steps} batches in {elapsed_s:.0f} s, "
        f"{torch.get_num_threads()} thread(s).\n"
        f"- Score on moments that were held out (training's own head):\n{scores}\n"
        "- Licence: that of the data; for the twin's pictures Apache-2.0, like the code.\n"
        "- Limits: knows the images that it was trained on; measure before you trust it on others.\n\n"
        f"```json\n{json.dumps(run, indent=1)}\n```\n"
    )
