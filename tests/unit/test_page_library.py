"""Recorded episodes as the page is told of them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import httpx2 as httpx
import numpy as np
import pytest
from page_server_samples import served

from reward_models.recorded import ScoredEpisode, scores_folder, write_scores
from reward_models.reward_model import Score, ScoreStatus
from tests.unit.test_episode_picture import episode_of
from tutelage.ui.library import Library
from tutelage_core.episodes.labels import Label, RewardScores, add_label
from tutelage_core.errors import EpisodeError, UnknownNameError
from tutelage_core.types import Source

pytestmark = pytest.mark.unit
DROVE = [Source.POLICY] * 3 + [Source.HUMAN] * 2


def test_list_says_how_each_episode_ended_and_what_was_said_of_it(tmp_path: Path) -> None:
    episode_of(tmp_path, DROVE, name="a")
    episode_of(tmp_path, DROVE, name="b")
    add_label(tmp_path, "b", Label(1, success=False, failure="dropped", author="page 1"))
    add_label(tmp_path, "b", Label(2, rewards=RewardScores("tower", (0.1, 0.2, None, 0.4, None)), author="x"))
    told = Library(tmp_path).listing()
    assert told["all"] == 2
    rows = {row["name"]: row for row in told["episodes"]}
    assert (rows["a"]["judged"], rows["a"]["scores"]) == (False, {})
    assert (rows["b"]["success"], rows["b"]["failure"], rows["b"]["judged"]) == (False, "dropped", True)
    assert rows["b"]["scores"] == {"tower": 0.4}


def test_scores_beside_the_recordings_are_shown_and_damaged_ones_are_named(tmp_path: Path) -> None:
    episode = episode_of(tmp_path, DROVE)
    values = (0.5, None, 0.7, 0.8, None)
    scores = tuple(
        Score.failed(ScoreStatus.TIMEOUT, stamp, "late") if value is None else Score(value, ScoreStatus.OK, stamp)
        for stamp, value in zip(episode.stamps_ns.tolist(), values, strict=True)
    )
    folder = scores_folder(tmp_path, "twin_tower")
    file = write_scores(folder, ScoredEpisode("a", "twin_tower", "pick it up", scores))
    library = Library(tmp_path)
    assert library.listing()["episodes"][0]["scores"] == {"twin_tower": 0.8}
    assert library.episode("a")["rewards"] == {"twin_tower": list(values)}
    file.write_text("{", encoding="utf-8")
    assert "score it again" in library.listing()["episodes"][0]["error"]


def test_judgement_that_comes_later_is_seen(tmp_path: Path) -> None:
    episode_of(tmp_path, DROVE)
    library = Library(tmp_path)
    library.listing()
    add_label(tmp_path, "a", Label(1, success=False, failure="missed", author="page 1"))
    assert library.listing()["episodes"][0]["failure"] == "missed"


def test_episode_says_who_drove_when(tmp_path: Path) -> None:
    episode_of(tmp_path, DROVE, reasons=("STEP_CLAMPED",))
    told = Library(tmp_path).episode("a")
    assert [(span["who"], span["first"], span["end"]) for span in told["drivers"]] == [
        ("policy", 0, 3),
        ("human", 3, 5),
    ]
    assert told["changed"] == [4]
    assert told["periods"] == 5
    json.dumps(told, allow_nan=False)


def test_picture_and_strip_are_what_the_camera_saw(tmp_path: Path) -> None:
    episode = episode_of(tmp_path, DROVE)
    library = Library(tmp_path)
    camera = next(iter(episode.images))
    shown = cv2.imdecode(np.frombuffer(library.picture("a", camera, 2), np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert np.abs(cv2.cvtColor(shown, cv2.COLOR_BGR2RGB).astype(int) - episode.images[camera][2]).mean() < 8
    assert library.strip("a")[:2] == b"\xff\xd8"


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    episode = episode_of(tmp_path, DROVE)
    library = Library(tmp_path)
    with pytest.raises(UnknownNameError, match="legal"):
        library.episode("b")
    with pytest.raises(UnknownNameError):
        library.episode("../a")
    with pytest.raises(UnknownNameError, match="camera"):
        library.picture("a", "attic", 0)
    with pytest.raises(EpisodeError, match=r"0\.\.4"):
        library.picture("a", next(iter(episode.images)), 5)


def test_damaged_and_unfinished_episodes_are_shown_as_what_they_are(tmp_path: Path) -> None:
    episode_of(tmp_path, DROVE, name="good")
    episode_of(tmp_path, DROVE, name="bad")
    (tmp_path / "bad" / "manifest.json").write_text("{", encoding="utf-8")
    (tmp_path / "open.partial").mkdir()
    told = Library(tmp_path).listing()
    rows = {row["name"]: row for row in told["episodes"]}
    assert "error" in rows["bad"]
    assert "error" not in rows["good"]
    assert [item["name"] for item in told["unfinished"]] == ["open"]


def test_episode_that_is_being_repaired_is_refused_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "open.partial").mkdir()
    with pytest.raises(EpisodeError, match="never finished"):
        Library(tmp_path).episode("open")


def test_addresses_answer_with_pictures_and_with_reasons(tmp_path: Path) -> None:
    episode = episode_of(tmp_path, DROVE)
    camera = next(iter(episode.images))
    with served(tmp_path) as made, httpx.Client(base_url=f"http://{made.address}") as visitor:
        assert visitor.get("/api/episodes").json()["all"] == 1
        assert visitor.get("/api/episodes/a").json()["periods"] == 5
        assert visitor.get(f"/api/episodes/a/{camera}/0.jpg").headers["content-type"] == "image/jpeg"
        assert visitor.get("/api/episodes/a/strip.jpg").status_code == 200
        missing = visitor.get("/api/episodes/b")
        assert missing.status_code == 404
        assert "legal" in missing.json()["error"]


def test_empty_folder_is_an_empty_list(tmp_path: Path) -> None:
    assert Library(tmp_path / "none").listing()["all"] == 0
