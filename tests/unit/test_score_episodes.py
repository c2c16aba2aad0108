"""Scores of recorded episodes: beside the recording, never in it, and made once."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from served_models import Brightness
from test_evaluate_rewards import LENGTH, record

from reward_models.recorded import ScoredEpisode, check_same_moments, read_scores, scores_folder, write_scores
from reward_models.reward_model import Score, ScoreStatus
from tutelage.runs import score_episodes as module
from tutelage.runs.score_episodes import (
    GoldenConfig,
    ScoreEpisodesConfig,
    score_episodes,
    scores_of,
    write_golden_answer,
)
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.errors import ConfigurationError

pytestmark = pytest.mark.unit

MODEL = "python:served_models:make_brightness"


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and "scores" not in path.parts
    }


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[Path]:
    for number in range(3):
        record(tmp_path / "data", f"episode-{number}", success=True)
    module._LOADED.clear()
    yield tmp_path / "data"
    module._LOADED.clear()


def test_every_moment_is_scored_once_and_the_recording_stays_as_it_was(recorded: Path) -> None:
    before = digests(recorded)
    found = score_episodes(ScoreEpisodesConfig((recorded,), MODEL))
    assert (found.scored, found.kept, found.statuses[ScoreStatus.OK]) == (3, 0, 3 * LENGTH)
    assert digests(recorded) == before
    assert EpisodeStore(recorded).names() == tuple(f"episode-{n}" for n in range(3)), "scores are no episode"
    scored = scores_of(recorded, MODEL, "episode-1")
    episode = EpisodeStore(recorded).read("episode-1")
    check_same_moments(scored, [int(stamp) for stamp in episode.stamps_ns])
    assert scored.scores[0].value == pytest.approx(float(episode.images["front"][0].mean()) / 255.0)
    again = score_episodes(ScoreEpisodesConfig((recorded,), MODEL))
    assert (again.scored, again.kept) == (0, 3)
    assert score_episodes(ScoreEpisodesConfig((recorded,), MODEL, again=True)).scored == 3


def test_several_processes_write_what_one_does(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    score_episodes(ScoreEpisodesConfig((recorded,), MODEL))
    file = scores_folder(recorded, MODEL) / "episode-2.json"
    alone = file.read_bytes()
    score_episodes(ScoreEpisodesConfig((recorded,), MODEL, processes=2, again=True))
    assert file.read_bytes() == alone


def test_what_was_not_scored_is_null_and_comes_back_as_nan(tmp_path: Path) -> None:
    scores = (
        Score(0.5, ScoreStatus.OK, 1, "m", "p", success=0.25, progress=0.75, further={"cosine": 0.4}),
        Score.failed(ScoreStatus.TIMEOUT, 2, "late"),
    )
    file = write_scores(tmp_path, ScoredEpisode("e", "a model", "do it", scores))
    assert json.loads(file.read_text())["scores"][1]["value"] is None
    read = read_scores(file)
    assert read.scores[0] == scores[0]
    assert math.isnan(read.scores[1].value)
    assert read.scores[1].status is ScoreStatus.TIMEOUT
    with pytest.raises(ConfigurationError, match="other moments"):
        check_same_moments(read, [1, 3])


def test_names_of_models_make_folders_that_differ(tmp_path: Path) -> None:
    folders = {scores_folder(tmp_path, name) for name in ("vlm_rm:a/b.yaml", "vlm_rm:a_b.yaml", "../../etc")}
    assert len(folders) == 3
    assert all(folder.parent == tmp_path / "scores" for folder in folders)


@pytest.mark.parametrize("text", ["{", "{}", '{"schema": 9, "episode": "", "model": "", "task": "", "scores": []}'])
def test_damaged_scores_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "e.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"e\.json"):
        read_scores(tmp_path / "e.json")


def test_data_sets_and_models_that_are_not_there_are_told(recorded: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match="no finished episode"):
        score_episodes(ScoreEpisodesConfig((tmp_path / "empty",), MODEL))
    with pytest.raises(ConfigurationError, match="there is no such function"):
        score_episodes(ScoreEpisodesConfig((recorded,), "python:served_models:make_gold"))
    with pytest.raises(ConfigurationError, match="processes must be at least 1"):
        score_episodes(ScoreEpisodesConfig((recorded,), MODEL, processes=0))


def test_golden_answer_is_written_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = write_golden_answer(GoldenConfig(MODEL))
    assert json.loads(file.read_text())["value"] == pytest.approx(0.5, abs=0.1)
    score_episodes_refused = ScoreEpisodesConfig((tmp_path,), MODEL, golden=True)
    monkeypatch.setattr(Brightness, "score", lambda self, frames, task: [Score(9.0, ScoreStatus.OK, 0)])
    with pytest.raises(Exception, match="is not the model that it was"):
        score_episodes(score_episodes_refused)
