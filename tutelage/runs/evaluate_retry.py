"""Success of a policy with a verifier and retries, and how far that verifier can be relied on.

The output folder holds `retry.json` (settings, every task's ending and attempts, the verifier's record) and, for each
verdict, a film strip of the frames that were looked at, named after seed, attempt, answer and truth.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from hardware.safety.gate import make_gate
from policies.registry import find_checkpoint, load_policy
from policies.rum.retry import Ending
from policies.rum.retry_odds import RetryOdds, expected
from reward_models.verifier.accounts import VerifierRecord, VerifierWatch
from reward_models.verifier.loading import load_verifier
from reward_models.verifier.verifier import Verifier
from sim.parameters import Split
from sim.screening import try_expert
from sim.tasks import make_task
from sim.twin import Twin
from tutelage.drivers import PolicyDriver
from tutelage.film_strip import FilmStrip
from tutelage.retrying import AttemptResult, RetriedEpisode, RetryOptions, run_with_retry
from tutelage.runs.collect import EVALUATION_SEEDS_FROM
from tutelage.runs.evaluate import Seeded, over_seeds
from tutelage_core.contract import CameraNeed, check_cameras, check_fit, load_contract
from tutelage_core.errors import ConfigurationError
from tutelage_core.intervals import wilson_interval
from tutelage_core.types import Observation
from tutelage_core.verdict import Answer, Verdict
from tutelage_core.versions import versions

TRUTH = "truth"
"""Name of the verifier that sees the twin's ground truth; it can be made to err."""


@dataclass(frozen=True)
class EvaluateRetryConfig:
    """Settings of `tutelage eval retry`.

    Attributes:
        policy: name of a shipped checkpoint, or the folder of one.
        verifier: `vlm:FILE`, `reward:FILE` or a reward model's name, such as `success_classifier:FOLDER`; `truth` sees
            the twin's ground truth and shows what a perfect verifier would give.
        robot: robot's contract.
        task: task to try.
        episodes: tasks to do, each with its attempts.
        first_seed: seed of the first one; the others follow.
        processes: parallel processes.
        output: folder for results and the pictures of each verdict; nothing is written without one.
        rooms: split that rooms are drawn from; outside the lab a room that the expert cannot solve is rejected.
        false_positive, false_negative: how often `truth` says yes to a failure, and no to a success.
        attempts: how often, how long, and when the verifier is asked.
    """

    policy: str
    verifier: str = TRUTH
    robot: str = "twin"
    task: str = "PickCube"
    episodes: int = 100
    first_seed: int = EVALUATION_SEEDS_FROM
    processes: int = 2
    output: Path | None = None
    rooms: Split = "lab"
    false_positive: float = 0.0
    false_negative: float = 0.0
    attempts: RetryOptions = field(default_factory=RetryOptions)

    def __post_init__(self) -> None:
        """Refuse what cannot be run: a process that cannot make itself ready would be started for ever."""
        if self.episodes < 1 or self.processes < 1:
            raise ConfigurationError(
                f"episodes and processes must be at least 1, got {self.episodes}, {self.processes}"
            )
        for name in ("false_positive", "false_negative"):
            share = getattr(self, name)
            if not 0.0 <= share <= 1.0:
                raise ConfigurationError(f"{name} must be in 0..1, got {share}")
            if share and self.verifier != TRUTH:
                raise ConfigurationError(f"only verifier '{TRUTH}' errs on order, and this is '{self.verifier}'")


@dataclass(frozen=True)
class RetryEvaluation:
    """What an evaluation found: the outcome of each seed, in their order, and the seeds whose rooms were rejected.

    The pictures of the attempts are not kept here.
    """

    config: EvaluateRetryConfig
    outcomes: Mapping[int, RetriedEpisode]
    rejected: tuple[int, ...] = ()

    @property
    def successes(self) -> int:
        """Tasks that ended with a verified success that is one."""
        return sum(outcome.success for outcome in self.outcomes.values())

    @property
    def first_successes(self) -> int:
        """Tasks whose first attempt worked, whatever the verifier said: what there is without retry."""
        return sum(outcome.worked_at_once for outcome in self.outcomes.values())

    @property
    def mean_tries(self) -> float:
        """Mean number of attempts."""
        return float(np.mean([len(outcome.attempts) for outcome in self.outcomes.values()]))

    @property
    def record(self) -> VerifierRecord:
        """The verifier's answers against what was true."""
        record = VerifierRecord()
        for outcome in self.outcomes.values():
            for tried in outcome.attempts:
                record.count(tried.verdict.answer, tried.worked)
        return record

    @property
    def doubts(self) -> list[str]:
        """What is to be said about a verifier that always says the same; empty if it does not."""
        watch = VerifierWatch()
        said = [watch.hear(tried.verdict.answer) for outcome in self.outcomes.values() for tried in outcome.attempts]
        return sorted({doubt for doubt in said if doubt})

    @property
    def independent(self) -> RetryOdds:
        """What the same success and errors would give if attempts did not depend on each other."""
        record = self.record
        return expected(
            self.first_successes / len(self.outcomes),
            record.false_positive_rate or 0.0,
            record.false_negative_rate or 0.0,
            self.config.attempts.retry.tries,
        )

    def summary(self) -> str:
        """Return some lines for a person."""
        count, record = len(self.outcomes), self.record
        low, high = wilson_interval(self.successes, count)
        first_low, first_high = wilson_interval(self.first_successes, count)
        endings = [outcome.ending for outcome in self.outcomes.values()]
        ended = ", ".join(f"{endings.count(ending)} {ending.value}" for ending in Ending if ending in endings)
        return "\n".join(
            [
                f"{self.config.task} with retry: {self.successes} of {count} (95 % Wilson interval {low:.3f} .. "
                f"{high:.3f}), {self.mean_tries:.2f} tries on average",
                f"without: {self.first_successes} of {count} ({first_low:.3f} .. {first_high:.3f})",
                f"verifier: {record.false_yes} of {record.false_yes + record.true_no} failures taken for success, "
                f"{record.false_no} of {record.false_no + record.true_yes} successes not seen, "
                f"{record.unknown} unknown",
                f"endings: {ended}; independent tries would give {self.independent.success:.3f}",
                *(f"warning: {doubt}" for doubt in self.doubts),
            ]
        )


class TruthVerifier:
    """Implements `Verifier` by the twin's ground truth, with errors that are drawn. For studies: no robot has one."""

    name = TRUTH

    def __init__(self, twin: Twin, false_positive: float, false_negative: float) -> None:
        """Look at `twin`, and say yes to this share of failures, no to that share of successes."""
        self._twin, self._errors = twin, {True: false_negative, False: false_positive}
        self._rng = np.random.default_rng(0)

    @property
    def cameras(self) -> Mapping[str, CameraNeed | None]:
        """None: it does not look at pictures."""
        return {}

    def restart(self, seed: int) -> None:
        """Draw the errors of the next task from its seed."""
        self._rng = np.random.default_rng([seed, 50_021])

    def verify(self, frames: Sequence[Observation], task: str) -> Verdict:
        """See `Verifier.verify`."""
        worked = self._twin.task_status().success
        errs = bool(self._rng.random() < self._errors[worked])
        answer = Answer.YES if worked != errs else Answer.NO
        return Verdict(answer, TRUTH, "", (frames[-1].stamp_ns,))


def evaluate_retry(config: EvaluateRetryConfig) -> RetryEvaluation:
    """Run the tasks and return what came of them.

    Raises:
        ConfigurationError: a setting is out of range, or most rooms were rejected.
        CheckpointError: a checkpoint is missing or corrupt.
        ContractMismatchError: policy or verifier does not fit the robot.
    """
    contract = load_contract(config.robot)
    make_task(config.task)
    if config.verifier != TRUTH:
        check_cameras(f"verifier '{config.verifier}'", load_verifier(config.verifier).cameras, contract)
    check_fit(load_policy(find_checkpoint(config.policy)).spec, contract)
    seeded = Seeded(config.task, config.first_seed, config.episodes, config.processes, config.rooms)
    found, rejected = over_seeds(seeded, _prepare, config, _run_one, f"eval retry {config.task}")
    evaluation = RetryEvaluation(config, dict(sorted(found.items())), tuple(rejected))
    if config.output is not None:
        _write(evaluation, config.output)
    return evaluation


class _Worker:
    """What one process keeps from task to task."""

    def __init__(self, config: EvaluateRetryConfig) -> None:
        torch.set_num_threads(1)
        self.config = config
        self.contract = load_contract(config.robot)
        self.twin = Twin(self.contract, config.task, config.first_seed, rooms=config.rooms)
        self.driver = PolicyDriver(load_policy(find_checkpoint(config.policy)))
        self.verifier: Verifier = (
            TruthVerifier(self.twin, config.false_positive, config.false_negative)
            if config.verifier == TRUTH
            else load_verifier(config.verifier)
        )


_worker: _Worker | None = None


def _prepare(config: EvaluateRetryConfig) -> None:
    global _worker  # noqa: PLW0603 a pool's initializer has no other place to leave things
    _worker = _Worker(config)


def _run_one(seed: int) -> tuple[int, RetriedEpisode | None]:
    if _worker is None:
        raise ConfigurationError("the worker process was not prepared")
    config = _worker.config
    if config.rooms != "lab" and not try_expert(_worker.twin, seed).success:
        return seed, None
    if isinstance(_worker.verifier, TruthVerifier):
        _worker.verifier.restart(seed)
    found = run_with_retry(
        _worker.twin,
        _worker.driver,
        make_gate(_worker.contract),
        _worker.contract,
        _worker.verifier,
        seed,
        config.attempts,
        on_attempt=None if config.output is None else partial(_draw, config.output, seed),
    )
    return seed, replace(found, attempts=tuple(replace(attempt, frames=()) for attempt in found.attempts))


def _draw(folder: Path, seed: int, result: AttemptResult) -> None:
    strip = FilmStrip()
    looked = set(result.verdict.stamps_ns)
    for number, frame in enumerate(result.frames):
        strip.add_images(f"{number}{' *' if frame.stamp_ns in looked else ''}", frame.images)
    truth = "worked" if result.worked else "failed"
    strip.save(folder / "verdicts" / f"{seed}-{result.attempt.number}-{result.verdict.answer.value}-{truth}.jpg")


def _write(evaluation: RetryEvaluation, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    config = asdict(evaluation.config)
    count = len(evaluation.outcomes)
    data = {
        "config": {**config, "output": str(folder)},
        "versions": versions(),
        "successes": evaluation.successes,
        "interval": wilson_interval(evaluation.successes, count),
        "first_successes": evaluation.first_successes,
        "mean_tries": evaluation.mean_tries,
        "verifier": asdict(evaluation.record),
        "doubts": evaluation.doubts,
        "rejected_seeds": list(evaluation.rejected),
        "tasks": {str(seed): asdict(outcome) for seed, outcome in evaluation.outcomes.items()},
    }
    (folder / "retry.json").write_text(json.dumps(data, indent=1), encoding="utf-8")
