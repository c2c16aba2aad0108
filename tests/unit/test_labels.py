"""Labels beside a recording: added, read back, and refused where there is no episode."""

from __future__ import annotations

from pathlib import Path

import pytest

from tutelage_core.episodes.labels import (
    LABELS_FILE,
    Judgement,
    Label,
    Phrase,
    RewardScores,
    add_label,
    judge,
    read_labels,
)
from tutelage_core.errors import ConfigurationError, EpisodeError

pytestmark = pytest.mark.unit

FIRST = Label(1, success=False, failure="dropped", phrase="it slipped", author="ada")
SECOND = Label(2, success=True, author="ben")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "done").mkdir()
    (tmp_path / "open.partial").mkdir()
    return tmp_path


@pytest.mark.parametrize("episode", ["done", "open"])
def test_labels_come_back_in_their_order(root: Path, episode: str) -> None:
    assert read_labels(root, episode) == ()
    for label in (FIRST, SECOND):
        add_label(root, episode, label)
    assert read_labels(root, episode) == (FIRST, SECOND)


@pytest.mark.parametrize("episode", ["absent", "", "../done", "a/b"])
def test_label_of_no_episode_is_refused(root: Path, episode: str) -> None:
    with pytest.raises(EpisodeError):
        add_label(root, episode, FIRST)


@pytest.mark.parametrize(
    "line", ["{", '{"success": true}', '{"stamp_ns": 1}', '{"stamp_ns": 1, "success": true, "mood": 3}']
)
def test_spoilt_line_is_named(root: Path, line: str) -> None:
    file = add_label(root, "done", FIRST)
    file.write_text(file.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
    with pytest.raises((EpisodeError, ConfigurationError), match=rf"{LABELS_FILE}.*line 2"):
        read_labels(root, "done")


def test_later_label_counts_and_nothing_is_forgotten() -> None:
    labels = [
        FIRST,
        Label(3, phrase="move left", author="ben", phrase_span_ns=(20, 30)),
        Label(4, phrase="move down", author="ben", phrase_span_ns=(10, 20)),
        Label(5, phrase="move right", author="ada", phrase_span_ns=(20, 30)),
        Label(6, author="vlm_rm 0.1", rewards=RewardScores("vlm_rm", (0.1, None, 0.3))),
        Label(7, author="vlm_rm 0.2", rewards=RewardScores("vlm_rm", (0.2, 0.2, 0.3))),
        SECOND,
    ]
    assert judge(labels) == Judgement(
        success=True,
        failure="",
        remarks=("it slipped",),
        phrases=(Phrase("move down", 10, 20), Phrase("move right", 20, 30)),
        rewards={"vlm_rm": (0.2, 0.2, 0.3)},
    )
    assert judge([SECOND, Label(8, failure="tipped over")]).success is False
    assert judge([]) == Judgement()


def test_rewards_and_phrases_come_back_from_the_disk(root: Path) -> None:
    label = Label(6, author="kagi", rewards=RewardScores("kagi", (0.25, None)))
    span = Label(7, phrase="open", author="ada", phrase_span_ns=(1, 2))
    add_label(root, "done", label)
    add_label(root, "done", span)
    assert read_labels(root, "done") == (label, span)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"success": True, "failure": "dropped"},
        {"success": True, "phrase_span_ns": (1, 2)},
        {"phrase": "left", "phrase_span_ns": (2, 2)},
        {"author": "somebody"},
    ],
)
def test_label_that_contradicts_itself_or_says_nothing_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        Label(1, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_reward_that_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(ConfigurationError, match="control period 1"):
        RewardScores("kagi", (0.0, value))


def test_unfinished_line_of_a_dead_writer_does_not_swallow_the_next_label(root: Path) -> None:
    file = add_label(root, "done", FIRST)
    with file.open("a", encoding="utf-8") as broken:
        broken.write('{"stamp_ns": 2, "succ')
    add_label(root, "done", SECOND)
    assert file.read_text(encoding="utf-8").splitlines()[2].endswith("}")
    with pytest.raises(EpisodeError, match="line 2"):
        read_labels(root, "done")
