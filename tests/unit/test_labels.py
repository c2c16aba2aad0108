"""Labels beside a recording: added, read back, and refused where there is no episode."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from tutelage_core.episodes.labels import (
    BROKEN_LABELS_FILE,
    LABELS_FILE,
    Judgement,
    Label,
    Phrase,
    RewardScores,
    add_label,
    judge,
    read_labels,
    set_aside_broken_lines,
    shortened,
)
from tutelage_core.errors import ConfigurationError, EpisodeError

pytestmark = pytest.mark.unit

FIRST = Label(1, success=False, failure="dropped", phrase="it slipped", author="ada")
SECOND = Label(2, success=True, author="ben")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder, file in (("done", "manifest.json"), ("open.partial", "episode.mcap"), ("lost", "episode.mcap")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / file).touch()
    return tmp_path


@pytest.mark.parametrize("episode", ["done", "open", "lost"])
def test_labels_come_back_in_their_order(root: Path, episode: str) -> None:
    assert read_labels(root, episode) == ()
    for label in (FIRST, SECOND):
        add_label(root, episode, label)
    assert read_labels(root, episode) == (FIRST, SECOND)


@pytest.mark.parametrize("episode", ["absent", "", ".", "..", "../done", "a/b", ".cache", "notes"])
def test_label_of_no_episode_is_refused(root: Path, episode: str) -> None:
    (root / "manifest.json").touch()
    for folder in (".cache", "notes"):
        (root / folder).mkdir()
    (root / ".cache" / "manifest.json").touch()
    with pytest.raises(EpisodeError):
        add_label(root / "done" / ".." / "done" / "..", episode, FIRST)
    with pytest.raises(EpisodeError):
        read_labels(root, episode)
    assert list(root.rglob(LABELS_FILE)) == []


SPOILT = [
    b"{",
    b"[" * 100_000,
    b"\0\0\0\0",
    b'{"stamp_ns": 1, "phrase": "\xe9"}',
    b'\xff{"stamp_ns": 1, "success": true}',
    b'{"success": true}',
    b'{"stamp_ns": 1}',
    b'{"stamp_ns": 1, "success": true, "mood": 3}',
    b'{"stamp_ns": 1, "rewards": {"model": "kagi", "values": [NaN]}}',
    b'{"stamp_ns": 1, "rewards": {"model": "kagi", "values": [1' + b"0" * 400 + b"]}}",
]


@pytest.mark.parametrize("line", SPOILT)
def test_spoilt_line_is_named_with_what_to_do(root: Path, line: bytes) -> None:
    file = add_label(root, "done", FIRST)
    file.write_bytes(file.read_bytes() + line + b"\n")
    with pytest.raises(EpisodeError, match=rf"{LABELS_FILE}, line 2: .*; 'tutelage data repair' sets .* aside"):
        read_labels(root, "done")


def test_spoilt_lines_are_set_aside_byte_for_byte_and_the_others_stay(root: Path) -> None:
    file = add_label(root, "done", FIRST)
    file.write_bytes(file.read_bytes() + b"".join(line + b"\n" for line in SPOILT))
    add_label(root, "done", SECOND)
    file.write_bytes(file.read_bytes() + b'{"stamp_ns": 3, "succ')
    assert set_aside_broken_lines(root / "done") == len(SPOILT) + 1
    assert read_labels(root, "done") == (FIRST, SECOND)
    aside = root / "done" / BROKEN_LABELS_FILE
    assert aside.read_bytes().splitlines() == [*SPOILT, b'{"stamp_ns": 3, "succ']
    assert set_aside_broken_lines(root / "done") == 0
    file.write_bytes(b"again\n" + file.read_bytes())
    assert set_aside_broken_lines(root / "done") == 1
    assert aside.read_bytes().splitlines()[-2:] == [b'{"stamp_ns": 3, "succ', b"again"]
    assert {path.name for path in (root / "done").iterdir()} == {"manifest.json", LABELS_FILE, BROKEN_LABELS_FILE}


def test_sound_labels_are_not_written_again(root: Path) -> None:
    assert set_aside_broken_lines(root / "done") == 0
    assert not (root / "done" / LABELS_FILE).exists()
    before = add_label(root, "done", FIRST).stat()
    assert set_aside_broken_lines(root / "done") == 0
    assert os.path.samestat(before, (root / "done" / LABELS_FILE).stat())
    assert not (root / "done" / BROKEN_LABELS_FILE).exists()


def test_lines_are_never_lost_when_setting_aside_is_cut_off(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = add_label(root, "done", FIRST)
    file.write_bytes(file.read_bytes() + b"broken\n")
    replaced = Path.replace

    def full(self: Path, target: Path) -> Path:
        if target.name == LABELS_FILE:
            raise OSError(5, "Input/output error")
        return replaced(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="Input/output"):
            set_aside_broken_lines(root / "done")
    assert file.read_bytes().endswith(b"broken\n")
    assert set_aside_broken_lines(root / "done") == 1
    assert (root / "done" / BROKEN_LABELS_FILE).read_bytes() == b"broken\n"
    assert read_labels(root, "done") == (FIRST,)


def test_label_that_comes_while_lines_are_set_aside_is_kept(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = add_label(root, "done", FIRST)
    file.write_bytes(file.read_bytes() + b"broken\n")
    replaced, adding = Path.replace, Thread(target=add_label, args=(root, "done", SECOND))

    def slow(self: Path, target: Path) -> Path:
        if target.name == LABELS_FILE:
            adding.start()
            adding.join(0.3)
            assert adding.is_alive()
        return replaced(self, target)

    monkeypatch.setattr(Path, "replace", slow)
    set_aside_broken_lines(root / "done")
    adding.join(10)
    assert read_labels(root, "done") == (FIRST, SECOND)


def test_what_is_written_of_labels_reaches_the_disk(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: (synced.append(os.fstat(number).st_ino), sync(number)))
    folder = root / "done"
    file = add_label(root, "done", FIRST)
    assert synced == [file.stat().st_ino, folder.stat().st_ino]
    file.write_bytes(file.read_bytes() + b"broken\n")
    set_aside_broken_lines(folder)
    assert synced[2:] == [
        (folder / BROKEN_LABELS_FILE).stat().st_ino,
        folder.stat().st_ino,
        file.stat().st_ino,
        folder.stat().st_ino,
    ]


def test_labels_that_cannot_be_opened_are_an_error_that_names_them(root: Path) -> None:
    (root / "done" / LABELS_FILE).mkdir()
    with pytest.raises(EpisodeError, match=LABELS_FILE):
        read_labels(root, "done")


def test_shortened_label_keeps_the_rewards_of_the_control_periods_that_are_kept() -> None:
    label = Label(6, author="kagi", rewards=RewardScores("kagi", (0.1, None, 0.3, 0.4)))
    short = shortened(label, np.array([False, True, True, False]))
    assert short == Label(6, author="kagi", rewards=RewardScores("kagi", (None, 0.3)))
    assert shortened(FIRST, [True]) == FIRST
    with pytest.raises(EpisodeError, match=r"'kagi' .* 4 control periods, .* of 3"):
        shortened(label, [True, False, True])


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
