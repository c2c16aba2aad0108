"""Evaluates what a training run of HIL-SERL came to, and writes that into the run's log."""

from __future__ import annotations

import math

from tutelage.learning.learning_session import POLICY_FOLDER
from tutelage.learning.training_log import LOG_FILE, TrainingLog, read_log
from tutelage.learning.training_rows import EvaluationRow, LearnerRow
from tutelage.runs.evaluate import EvaluateConfig, Evaluation, evaluate
from tutelage.runs.train_hil_serl import TrainHilSerlConfig

EVALUATION_FOLDER = "evaluation"


def evaluate_run(config: TrainHilSerlConfig, processes: int = 2) -> Evaluation:
    """Evaluate the policy of a finished run without person and noise, and write that into the run's log.

    Args:
        config: of the run.
        processes: parallel processes.

    Raises:
        ConfigurationError: the configuration asks for no episodes.
        TutelageError: there is no such run, or its policy is damaged.
    """
    found = evaluate(
        EvaluateConfig(
            str(config.output / POLICY_FOLDER),
            config.robot,
            config.task,
            config.evaluation_episodes,
            processes=processes,
            output=config.output / EVALUATION_FOLDER,
            rooms=config.rooms,
        )
    )
    rows = read_log(config.output / LOG_FILE)
    reports = [row for row in rows if isinstance(row, LearnerRow)]
    steps = [r.steps for r in found.results if r.success]
    row = EvaluationRow(
        wall_s=max((row.wall_s for row in rows), default=0.0),
        steps=max((row.steps for row in rows), default=0),
        updates=reports[-1].updates if reports else 0,
        successes=found.successes,
        episodes=len(found.results),
        mean_steps_to_success=sum(steps) / len(steps) if steps else math.nan,
        first_seed=found.seeds[0],
    )
    with TrainingLog(config.output) as log:
        log.add(row)
    return found
