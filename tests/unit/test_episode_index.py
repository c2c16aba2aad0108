"""The index is derived: whatever becomes of it, a list shows what the manifests and labels say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.episode_samples import METADATA, record
from tutelage_core.episodes import index as indexing
from tutelage_core.episodes.index import INDEX_FILE, read_index
from tutelage_core.episodes.labels import Label, add_label
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.errors import EpisodeError

pytestmark = pytest.mark.unit


@pytest.fixture
def store(tmp_path: Path) -> EpisodeStore:
    for number in range(3):
        record(tmp_path, f"e{number}", 2 + number, replace(METADATA, seed=number))
    return EpisodeStore(tmp_path)


def test_row_says_what_the_manifest_says(store: EpisodeStore) -> None:
    rows = read_index(store)
    assert [(row.name, row.steps, row.seed) for row in rows] == [("e0", 2, 0), ("e1", 3, 1), ("e2", 4, 2)]
    assert (rows[0].robot, rows[0].task, rows[0].policy, rows[0].success) == ("twin", "reach", "bc", True)
    assert rows[0].bytes == (store.root / "e0" / "episode.mcap").stat().st_size
    assert not rows[0].is_labelled


@pytest.mark.parametrize("damage", ["", "{", '{"version": 99}', '{"version": 1, "rows": [{"mark": []}]}', "[1]"])
def test_damaged_index_is_made_again(store: EpisodeStore, damage: str) -> None:
    rows = read_index(store)
    (store.root / INDEX_FILE).write_text(damage, encoding="utf-8")
    assert read_index(store) == rows
    assert json.loads((store.root / INDEX_FILE).read_text(encoding="utf-8"))["version"] == indexing.INDEX_VERSION


def test_known_manifest_is_not_read_again(store: EpisodeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    read_index(store)
    monkeypatch.setattr(indexing, "read_manifest", lambda folder: pytest.fail(f"{folder} was read again"))
    assert len(read_index(store)) == 3


def test_label_new_and_lost_episode_show_at_once(store: EpisodeStore) -> None:
    read_index(store)
    add_label(store.root, "e1", Label(1, success=False, failure="dropped", author="ada"))
    record(store.root, "e3", 1)
    (store.root / "e0" / "episode.mcap").unlink()
    (store.root / "e0" / "manifest.json").unlink()
    rows = read_index(store)
    assert [row.name for row in rows] == ["e1", "e2", "e3"]
    assert (rows[0].success, rows[0].failure, rows[0].is_labelled) == (False, "dropped", True)


def test_damaged_manifest_is_a_row_that_says_so(store: EpisodeStore) -> None:
    (store.root / "e1" / "manifest.json").write_text("{", encoding="utf-8")
    rows = read_index(store)
    assert "manifest.json" in rows[1].fault
    assert not rows[0].fault
    assert read_index(store) == rows


@pytest.mark.parametrize("damage", [b"\xed", b'{"stamp_ns": 1, "succ'])
def test_damaged_label_is_the_fault_of_its_own_row(store: EpisodeStore, damage: bytes) -> None:
    file = add_label(store.root, "e1", Label(1, success=True, author="ada"))
    file.write_bytes(damage + file.read_bytes())
    rows = read_index(store)
    assert [bool(row.fault) for row in rows] == [False, True, False]
    assert "e1/labels.jsonl, line 1" in rows[1].fault
    assert "tutelage data repair" in rows[1].fault


@pytest.mark.parametrize("known", [False, True])
def test_missing_or_cut_recording_is_a_fault(store: EpisodeStore, known: bool) -> None:
    if known:
        assert not any(row.fault for row in read_index(store))
    whole = (store.root / "e0" / "episode.mcap").read_bytes()
    (store.root / "e0" / "episode.mcap").write_bytes(whole[:100])
    (store.root / "e1" / "episode.mcap").unlink()
    rows = read_index(store)
    assert f"e0/episode.mcap: has 100 bytes, the manifest says {len(whole)}" in rows[0].fault
    assert "e1/episode.mcap: missing" in rows[1].fault
    assert all("tutelage data repair" in row.fault for row in rows[:2])
    assert not rows[2].fault
    (store.root / "e0" / "episode.mcap").write_bytes(whole)
    assert not read_index(store)[0].fault


def test_manifest_that_lists_no_recording_is_a_fault(store: EpisodeStore) -> None:
    path = store.root / "e2" / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**manifest, "files": {}}), encoding="utf-8")
    assert "lists no file episode.mcap" in read_index(store)[2].fault


def test_fault_that_passes_is_not_kept(store: EpisodeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: Path, name: str) -> tuple[Label, ...]:
        raise EpisodeError(f"{name}: Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(indexing, "read_labels", refused)
        assert all(row.fault for row in read_index(store))
    assert not any(row.fault for row in read_index(store))
