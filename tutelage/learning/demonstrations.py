"""Recorded episodes as steps of a replay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from policies.hil_serl.actor import StepMaker
from policies.hil_serl.policy import HilSerlPolicy
from policies.hil_serl.stored_views import StoredViews
from policies.hil_serl.transition import Step
from tutelage.learning.judge import SuccessJudge, Verdict
from tutelage.learning.training_episode import REWARDS, shaped
from tutelage_core.contract import RobotContract, check_fit
from tutelage_core.episodes.reader import Episode
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.errors import ConfigurationError, ContractMismatchError
from tutelage_core.types import Observation, Source


@dataclass(frozen=True)
class Demonstration:
    """One recorded episode, for the replay.

    Attributes:
        name: of the episode.
        steps: up to and with the first success.
        judged: whether the judge saw the success; else the recording's own result was believed.
    """

    name: str
    steps: tuple[Step, ...]
    judged: bool


class DemonstrationReader:
    """Reads recorded successes through a policy's eyes."""

    def __init__(
        self,
        policy: HilSerlPolicy,
        views: StoredViews,
        contract: RobotContract,
        judge: SuccessJudge | None,
        discount: float = 1.0,
    ) -> None:
        """Read for `policy` on the robot of `contract`.

        Args:
            policy: says what is seen.
            views: encodes it.
            contract: the robot that learns.
            judge: sees from the pictures when the task is done; without one the recorded ground truth says it.
            discount: of the learner, for shaping by the judge's potential.
        """
        self._policy = policy
        self._views = views
        self._contract = contract
        self._judge = judge
        self._discount = discount

    def read(self, folder: Path, tasks: tuple[str, ...] = ()) -> Iterator[Demonstration]:
        """Yield each success of a folder of episodes.

        Args:
            folder: of the episodes.
            tasks: tasks that count; all if empty.

        Raises:
            ConfigurationError: no episode is left.
            ContractMismatchError: an episode is of another robot.
            EpisodeError: an episode is damaged.
        """
        store = EpisodeStore(folder)
        manifests = {name: store.manifest(name) for name in store.names()}
        wanted = [n for n, m in manifests.items() if m.result.success and (not tasks or m.metadata.task in tasks)]
        if not wanted:
            found = sorted({m.metadata.task for m in manifests.values()})
            raise ConfigurationError(
                f"{folder}: no success among {len(manifests)} finished episodes of {', '.join(found) or 'no task'}; "
                f"wanted: {', '.join(tasks) or 'any task'}. Record some with `tutelage collect`, or name another folder"
            )
        for name in wanted:
            self._check_robot(name, manifests[name].metadata.contract)
            yield self._demonstration(store.read(name, tuple(self._policy.spec.cameras)))

    def _check_robot(self, name: str, recorded: RobotContract) -> None:
        """Refuse another robot's episode: same motion would be another action."""
        check_fit(self._policy.spec, recorded)
        ours = self._contract
        pairs = {
            "control rate [Hz]": (ours.control_rate_hz, recorded.control_rate_hz),
            "action": (ours.action, recorded.action),
            "joints": (ours.arm.joints, recorded.arm.joints),
            "max_step_m": (ours.safety.max_step_m, recorded.safety.max_step_m),
            "max_step_rad": (ours.safety.max_step_rad, recorded.safety.max_step_rad),
        }
        differences = [f"{what}: {a} here, {b} in the recording" for what, (a, b) in pairs.items() if a != b]
        if differences:
            raise ContractMismatchError(f"robot '{ours.name}'", f"demonstration {name}", differences)

    def _demonstration(self, episode: Episode) -> Demonstration:
        end, judged, potentials = self._first_success(episode)
        self._policy.reset("", 0)
        maker = StepMaker(self._policy, self._views, f"demonstration {episode.name}")
        maker.restart(episode.metadata.seed)
        steps: list[Step] = []
        for row in range(end):
            maker.took(_observation(episode, row), episode.executed[row], Source(int(episode.sources[row])))
            last = row + 1 == end
            more = shaped(potentials[row], potentials[row + 1], self._discount, over=last)
            reward = REWARDS[Verdict.SUCCESS if last else Verdict.NO] + more
            steps.append(
                maker.end(_observation(episode, end), reward, terminated=True) if last else maker.go_on(reward)
            )
        return Demonstration(episode.name, tuple(steps), judged)

    def _first_success(self, episode: Episode) -> tuple[int, bool, list[float]]:
        """Return the row whose observation shows the task done, whether that was seen, and the rows' potentials."""
        first, potentials = None, [0.0] * len(episode)
        if self._judge is not None:
            self._judge.restart(episode.metadata.instruction)
        for row in range(len(episode)):
            if self._judge is None:
                done = bool(episode.success[row])
            else:
                done = self._judge.judge(_observation(episode, row)) is Verdict.SUCCESS
                potentials[row] = self._judge.potential
            if done:
                first = row
                break
        if len(episode) < 2 or first == 0:
            raise ConfigurationError(
                f"demonstration {episode.name}: {len(episode)} periods, success at the first one; it shows nothing"
            )
        return (len(episode) - 1, False, potentials) if first is None else (first, True, potentials)


def _observation(episode: Episode, row: int) -> Observation:
    return Observation(
        int(episode.stamps_ns[row]),
        {camera: pixels[row] for camera, pixels in episode.images.items()},
        {key: vectors[row] for key, vectors in episode.state.items()},
    )
