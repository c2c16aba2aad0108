"""The store of episodes: what it lists, counts, reports and refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.episode_samples import METADATA, RESULT, executed, record, state
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.episodes.writer import EpisodeWriter
from tutelage_core.errors import EpisodeError, UnknownNameError


def test_finished_episodes_are_listed_and_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name, steps in (("b", 2), ("a", 1), ("c", 3)):
        record(tmp_path, name, steps)
    (tmp_path / "notes").mkdir()
    (tmp_path / "readme.txt").write_text("not an episode")
    store = EpisodeStore(tmp_path)
    assert store.names() == ("a", "b", "c")
    assert [(episode.name, len(episode)) for episode in store] == [("a", 1), ("b", 2), ("c", 3)]
    assert len(store) == 3
    assert store.manifest("b").result.steps == 2


def test_store_without_a_folder_is_empty(tmp_path: Path) -> None:
    store = EpisodeStore(tmp_path / "none")
    assert (store.names(), store.partial(), list(store), store.totals().episodes) == ((), (), [], 0)
    assert store.next_name("reach") == "reach-000000"


def test_partial_episodes_are_reported_with_their_reason_and_never_read(tmp_path: Path) -> None:
    record(tmp_path, "a", 1)
    EpisodeWriter(tmp_path, "b", METADATA).abort("the camera died")
    EpisodeWriter(tmp_path, "c", METADATA)
    store = EpisodeStore(tmp_path)
    assert store.names() == ("a",)
    assert [(p.name, p.reason) for p in store.partial()] == [
        ("b", "the camera died"),
        ("c", "still being written, or its writer died"),
    ]
    assert store.partial()[0].folder == tmp_path / "b.partial"
    with pytest.raises(EpisodeError, match="never finished"):
        store.read("b")


def test_unreadable_abort_reason_is_said(tmp_path: Path) -> None:
    (EpisodeWriter(tmp_path, "b", METADATA).abort("x") / "abort.json").write_text("{")
    assert "not readable" in EpisodeStore(tmp_path).partial()[0].reason


def test_totals_count_steps_successes_and_bytes(tmp_path: Path) -> None:
    record(tmp_path, "a", 2)
    writer = EpisodeWriter(tmp_path, "b", METADATA)
    writer.state(state(10))
    writer.executed(executed(10))
    writer.close(replace(RESULT, success=False, termination="time_limit"))
    EpisodeWriter(tmp_path, "c", METADATA).abort("test")
    totals = EpisodeStore(tmp_path).totals()
    assert (totals.episodes, totals.partial, totals.steps, totals.successes) == (2, 1, 3, 1)
    assert totals.bytes == sum((tmp_path / name / "episode.mcap").stat().st_size for name in "ab")


def test_next_name_skips_finished_and_partial_ones(tmp_path: Path) -> None:
    store = EpisodeStore(tmp_path)
    record(tmp_path, store.next_name("reach"), 1)
    assert store.next_name("reach") == "reach-000001"
    EpisodeWriter(tmp_path, "reach-000007", METADATA).abort("test")
    assert store.next_name("reach") == "reach-000008"
    assert store.next_name("reac") == "reac-000000"
    with pytest.raises(EpisodeError, match="not legal"):
        store.next_name("../reach")


def test_unknown_name_lists_the_legal_ones(tmp_path: Path) -> None:
    record(tmp_path, "first", 1)
    with pytest.raises(UnknownNameError, match="Did you mean 'first'"):
        EpisodeStore(tmp_path).read("firts")


def test_damaged_episode_is_an_error_and_is_not_skipped(tmp_path: Path) -> None:
    record(tmp_path, "a", 1)
    (record(tmp_path, "b", 1) / "manifest.json").unlink()
    store = EpisodeStore(tmp_path)
    with pytest.raises(EpisodeError, match=r"b/manifest\.json"):
        list(store)
    with pytest.raises(EpisodeError, match=r"b/manifest\.json"):
        store.totals()
