"""From demonstrations in rooms to a utility model that was chosen by rollouts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from policies.registry import load_policy
from policies.rum.config import MlpConfig
from policies.rum.model import RumModelConfig
from policies.rum.train_config import RumConfig
from tutelage.runs import train_rum as run
from tutelage.runs.collect import CollectConfig, collect
from tutelage.runs.evaluate import EvaluateConfig, Evaluation
from tutelage_core.errors import ConfigurationError, UnknownNameError

pytestmark = [pytest.mark.sim, pytest.mark.timeout(300)]

MODEL = RumModelConfig("mlp", history=2, chunk=4, replan_every=2, features=16, mlp=MlpConfig(hidden=16))
SMALL = RumConfig(MODEL, steps=20, batch_size=8, validation_fraction=0.0)


@pytest.fixture(scope="module")
def demonstrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rum") / "demonstrations"
    collect(CollectConfig(output=folder, episodes=2, processes=1, rooms="train"))
    return folder


def test_policy_is_trained_chosen_by_rollouts_and_drives(demonstrations: Path, tmp_path: Path) -> None:
    config = run.TrainRumConfig(demonstrations, tmp_path / "run", rollouts=1, processes=1, rum=SMALL)
    trained = run.train_rum(config)
    policy = load_policy(tmp_path / "run" / "policy")
    assert trained.policy == tmp_path / "run" / "policy"
    assert (policy.spec.name, list(policy.spec.cameras), policy.spec.tasks) == ("rum", ["wrist"], ("PickCube",))
    assert [candidate.rollouts for candidate in trained.candidates] == [1, 1, 1]
    assert {path.name for path in (tmp_path / "run" / "candidates").iterdir()} == {c.name for c in trained.candidates}
    assert json.loads((tmp_path / "run" / run.CHOICE).read_text(encoding="utf-8"))["chosen"] == trained.chosen
    with pytest.raises(ConfigurationError, match="another run"):
        run.train_rum(config)
    again = run.train_rum(replace(config, resume=True, rollouts=0))
    assert again.chosen == trained.candidates[-1].name, "without rollouts it is the last one"


@pytest.mark.parametrize(("successes", "chosen"), [((3, 5, 5), 2), ((4, 1, 3), 0)])
def test_candidate_that_succeeds_most_often_is_kept_and_the_later_of_equals(
    successes: tuple[int, ...], chosen: int, demonstrations: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rolled = iter(successes)

    class Found(Evaluation):
        @property
        def successes(self) -> int:
            return next(rolled)

    monkeypatch.setattr(run, "evaluate", lambda config: Found(config, (), ()))
    trained = run.train_rum(run.TrainRumConfig(demonstrations, tmp_path / "run", rollouts=5, rum=SMALL))
    assert trained.chosen == trained.candidates[chosen].name


def test_rollouts_use_scenes_of_their_own() -> None:
    assert CollectConfig(output=Path()).first_seed < run.ROLLOUT_SEEDS_FROM < EvaluateConfig().first_seed


def test_camera_that_the_robot_lacks_is_refused(demonstrations: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="elbow"):
        run.train_rum(run.TrainRumConfig(demonstrations, tmp_path, cameras=("elbow",), rum=SMALL))


def test_rollouts_are_refused_without_a_twin(demonstrations: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--rollouts 0"):
        run.train_rum(run.TrainRumConfig(demonstrations, tmp_path, robot="franka", rum=SMALL))
