"""Labels beside a recording: added, read back, and refused where there is no episode."""

from __future__ import annotations

from pathlib import Path

import pytest

from tutelage_core.episodes.labels import LABELS_FILE, Label, add_label, read_labels
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


@pytest.mark.parametrize("line", ["{", '{"stamp_ns": 1}', '{"stamp_ns": 1, "success": true, "mood": 3}'])
def test_spoilt_line_is_named(root: Path, line: str) -> None:
    file = add_label(root, "done", FIRST)
    file.write_text(file.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
    with pytest.raises((EpisodeError, ConfigurationError), match=rf"{LABELS_FILE}.*line 2"):
        read_labels(root, "done")
