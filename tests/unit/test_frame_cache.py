"""The cache of decoded frames: the reader's bytes, never an old recording's, resumable, mended and said so."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.unit.episode_samples import METADATA, PERIOD_NS, RESULT, frame, record, state
from tests.unit.episode_samples import executed as step
from tutelage.runs.cache import CacheConfig, cache
from tutelage_core.episodes import array_pieces
from tutelage_core.episodes.array_pieces import fault_of, open_piece, write_piece
from tutelage_core.episodes.cached_episode import CachedEpisode
from tutelage_core.episodes.frame_cache import FrameCache, build, cache_episode, periods_of, recorded_cameras
from tutelage_core.episodes.manifest import StoredFile, stored_file
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.episodes.writer import EpisodeWriter
from tutelage_core.errors import ConfigurationError, EpisodeError, UnknownNameError

pytestmark = pytest.mark.unit
PIECES = ("periods.npy", "front/frames.npy", "wrist/frames.npy")


def noisy(root: Path, name: str, periods: int = 3) -> EpisodeStore:
    """Record an episode whose images are noise, so that no two rows are alike."""
    with EpisodeWriter(root, name, METADATA) as writer:
        for stamp in range(PERIOD_NS, (periods + 1) * PERIOD_NS, PERIOD_NS):
            for offset, camera in enumerate(("front", "wrist")):
                writer.image(camera, replace(frame(stamp + offset), stamp_ns=stamp))
            writer.state(state(stamp, stamp / PERIOD_NS))
            writer.executed(step(stamp, stamp / PERIOD_NS))
        writer.close(RESULT)
    return EpisodeStore(root)


def kept_alive(folder: Path) -> dict[str, tuple[int, int]]:
    return {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in sorted(folder.rglob("*")) if p.is_file()}


def test_cached_frames_and_arrays_are_the_readers_byte_for_byte(tmp_path: Path) -> None:
    store, frames = noisy(tmp_path / "store", "a", 4), FrameCache(tmp_path / "cache")
    done = cache_episode(store.root, "a", frames)
    assert done == CachedEpisode("a", made=PIECES)
    episode, manifest = store.read("a"), store.manifest("a")
    for camera in ("front", "wrist"):
        cached = frames.frames(manifest, camera)
        assert cached.dtype == np.uint8
        assert cached.tobytes() == episode.images[camera].tobytes()
        assert not cached.flags.writeable
    periods = frames.periods(manifest)
    for name in ("stamps_ns", "requested", "executed", "expert", "sources", "success", "progress"):
        expected = getattr(episode, name)
        assert periods[name].dtype == expected.dtype
        assert periods[name].tobytes() == expected.tobytes()
    for key, values in episode.state.items():
        assert periods[f"state.{key}"].tobytes() == values.tobytes()
    assert tuple(periods["phrases"].tolist()) == episode.phrases


def test_pieces_are_plain_arrays_without_pickle(tmp_path: Path) -> None:
    store, frames = noisy(tmp_path / "store", "a"), FrameCache(tmp_path / "cache")
    cache_episode(store.root, "a", frames)
    for path in frames.folder(store.manifest("a")).rglob("*.npy"):
        np.load(path, allow_pickle=False)
    with pytest.raises(ValueError, match="allow_pickle"):
        write_piece(tmp_path / "x.npy", np.array([{}], dtype=object))
    assert list(tmp_path.glob("*x.npy*")) == []


def test_pickled_array_in_the_cache_is_refused_and_not_run(tmp_path: Path) -> None:
    path, ran = tmp_path / "a.npy", tmp_path / "ran"

    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (ran,))

    write_piece(path, np.zeros(3))
    np.save(path, np.array([Trap()], dtype=object), allow_pickle=True)
    seal = path.with_name("a.npy.seal")
    stored = stored_file(path)
    seal.write_text(f'{{"version": 1, "bytes": {stored.bytes}, "sha256": "{stored.sha256}"}}')
    with pytest.raises(EpisodeError, match=r"a\.npy: not readable as an array"):
        open_piece(path)
    assert not ran.exists()


def test_second_run_touches_nothing(tmp_path: Path) -> None:
    store, frames = noisy(tmp_path / "store", "a"), FrameCache(tmp_path / "cache")
    cache_episode(store.root, "a", frames)
    before = kept_alive(frames.root)
    assert cache_episode(store.root, "a", frames) == CachedEpisode("a", kept=PIECES)
    assert kept_alive(frames.root) == before


def test_changed_recording_is_not_read_from_the_old_cache(tmp_path: Path) -> None:
    frames = FrameCache(tmp_path / "cache")
    root = tmp_path / "store"
    record(root, "a", 3)
    store = EpisodeStore(root)
    cache_episode(root, "a", frames)
    old = frames.frames(store.manifest("a"), "front").tolist()
    shutil.rmtree(root / "a")
    record(root, "a", 3, offset=50)
    manifest = store.manifest("a")
    with pytest.raises(EpisodeError, match=r"missing or not finished; .*tutelage data cache"):
        frames.frames(manifest, "front")
    assert cache_episode(root, "a", frames).made == PIECES
    assert frames.frames(manifest, "front")[:, 0, 0, 0].tolist() == [50, 51, 52]
    assert frames.frames(manifest, "front").tolist() != old


def test_frames_are_shrunk_by_area_and_kept_beside_the_whole_ones(tmp_path: Path) -> None:
    store = noisy(tmp_path / "store", "a")
    whole, small = FrameCache(tmp_path / "cache"), FrameCache(tmp_path / "cache", (6, 8))
    cache_episode(store.root, "a", whole)
    assert cache_episode(store.root, "a", small, ("wrist",)).made == ("wrist/frames-8x6.npy",)
    manifest = store.manifest("a")
    images = store.read("a").images["wrist"]
    expected = [cv2.resize(image, (8, 6), interpolation=cv2.INTER_AREA) for image in images]
    assert np.array_equal(small.frames(manifest, "wrist"), expected)
    assert np.array_equal(whole.frames(manifest, "wrist"), images)
    assert FrameCache(tmp_path / "cache", (12, 16)).frames_path(manifest, "wrist") == whole.frames_path(
        manifest, "wrist"
    )


def test_frames_never_grow(tmp_path: Path) -> None:
    store = noisy(tmp_path / "store", "a")
    with pytest.raises(ConfigurationError, match="frames of 16x12 px are only shrunk, and 17x12 px was asked"):
        build(store, FrameCache(tmp_path / "cache", (12, 17)))
    with pytest.raises(ConfigurationError, match="at least 1x1"):
        FrameCache(tmp_path / "cache", (0, 4))


def damage_content(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "wrong checksum": damage_content,
    "truncated": lambda path: os.truncate(path, path.stat().st_size - 7),
    "missing or not finished": Path.unlink,
    "seal is not readable": lambda path: path.with_name(path.name + ".seal").write_text("{"),
    "layout version None": lambda path: path.with_name(path.name + ".seal").write_text("[]"),
    "layout version 0": lambda path: path.with_name(path.name + ".seal").write_text('{"version": 0}'),
}


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("fault", DAMAGES)
def test_damaged_piece_is_made_again_and_said_so(tmp_path: Path, piece: str, fault: str) -> None:
    store, frames = noisy(tmp_path / "store", "a"), FrameCache(tmp_path / "cache")
    cache_episode(store.root, "a", frames)
    path = frames.folder(store.manifest("a")) / piece
    whole = path.read_bytes()
    DAMAGES[fault](path)
    if fault != "wrong checksum":
        with pytest.raises(EpisodeError, match=fault):
            open_piece(path)
    done = cache_episode(store.root, "a", frames)
    assert done.made == ()
    assert [mended.split(": ", 1)[0] for mended in done.mended] == [piece]
    assert fault in done.mended[0]
    assert path.read_bytes() == whole
    assert fault_of(path, hashed=True) is None


def test_quick_look_misses_a_changed_byte_and_the_whole_check_finds_it(tmp_path: Path) -> None:
    store, frames = noisy(tmp_path / "store", "a"), FrameCache(tmp_path / "cache")
    cache_episode(store.root, "a", frames)
    damage_content(frames.frames_path(store.manifest("a"), "front"))
    assert cache_episode(store.root, "a", frames, verify=False).mended == ()
    assert len(cache_episode(store.root, "a", frames, verify=True).mended) == 1


def test_disk_that_is_full_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npy"
    write_piece(path, np.arange(3))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(array_pieces.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_piece(path, np.arange(4))
    assert open_piece(path).tolist() == [0, 1, 2]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npy", "a.npy.seal"]


def test_who_has_a_piece_mapped_keeps_the_old_content(tmp_path: Path) -> None:
    write_piece(tmp_path / "a.npy", np.arange(3))
    mapped = open_piece(tmp_path / "a.npy")
    write_piece(tmp_path / "a.npy", np.arange(3) + 7)
    assert mapped.tolist() == [0, 1, 2]
    assert open_piece(tmp_path / "a.npy").tolist() == [7, 8, 9]


KILLED = """
import os, signal, sys
from pathlib import Path
from tutelage_core.episodes import frame_cache
from tutelage_core.episodes.manifest import StoredFile, stored_file
from tutelage_core.episodes.store import EpisodeStore
real = frame_cache.write_piece
def write_piece(path, array):
    real(path, array)
    if len(list(Path(sys.argv[2]).rglob("*.npy"))) == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
frame_cache.write_piece = write_piece
frame_cache.build(EpisodeStore(Path(sys.argv[1])), frame_cache.FrameCache(Path(sys.argv[2])))
"""


@pytest.mark.parametrize("pieces", [3, 4])
def test_run_that_was_killed_goes_on_where_it_stopped(tmp_path: Path, pieces: int) -> None:
    root, frames = tmp_path / "store", FrameCache(tmp_path / "cache")
    store = noisy(root, "a")
    noisy(root, "b", 2)
    command = [sys.executable, "-c", KILLED, str(root), str(frames.root), str(pieces)]
    assert subprocess.run(command, check=False, timeout=60).returncode == -9
    before = kept_alive(frames.folder(store.manifest("a")))
    done = build(store, frames)
    assert done[0] == CachedEpisode("a", kept=PIECES)
    assert done[1] == CachedEpisode("b", made=PIECES[pieces - 3 :], kept=PIECES[: pieces - 3])
    assert kept_alive(frames.folder(store.manifest("a"))) == before


def test_parallel_processes_make_the_same_as_one(tmp_path: Path) -> None:
    root = tmp_path / "store"
    for name in "abc":
        store = noisy(root, name, 2)
    one, many = FrameCache(tmp_path / "one"), FrameCache(tmp_path / "many")
    assert build(store, one) == build(store, many, processes=2)
    assert [e.name for e in build(store, many, processes=2)] == ["a", "b", "c"]
    contents = [{p.relative_to(c.root): p.read_bytes() for p in c.root.rglob("*.*")} for c in (one, many)]
    assert contents[0] == contents[1]


@pytest.mark.parametrize("processes", [1, 2])
def test_damaged_recording_ends_the_run_by_name_and_keeps_the_others(tmp_path: Path, processes: int) -> None:
    root, frames = tmp_path / "store", FrameCache(tmp_path / "cache")
    for name in "ab":
        store = noisy(root, name, 2)
    (root / "b" / "episode.mcap").write_bytes(b"")
    with pytest.raises(EpisodeError, match=r"episode 'b' cannot be cached: .*episode\.mcap"):
        build(store, frames, processes=processes)
    assert cache_episode(root, "a", frames).made == ()


def test_frames_that_contradict_the_contract_are_refused(tmp_path: Path) -> None:
    path = record(tmp_path / "store", "a", 1) / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["metadata"]["contract"]["cameras"]["front"].update(height=20, width=20)
    path.write_text(json.dumps(manifest))
    with pytest.raises(EpisodeError, match="images of 16x12 px, the contract of robot 'twin' says 20x20 px"):
        cache_episode(tmp_path / "store", "a", FrameCache(tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()


def test_wrong_requests_are_refused_before_anything_is_decoded(tmp_path: Path) -> None:
    store, frames = noisy(tmp_path / "store", "a"), FrameCache(tmp_path / "cache")
    with pytest.raises(UnknownNameError, match="unknown camera 'side' in episode 'a'"):
        build(store, frames, ("front", "side"))
    with pytest.raises(ConfigurationError, match="processes must be at least 1"):
        build(store, frames, processes=0)
    with pytest.raises(EpisodeError, match="no finished episode to cache"):
        cache(CacheConfig(tmp_path / "nothing"))
    assert not frames.root.exists()


def test_only_cameras_with_images_count_as_recorded(tmp_path: Path) -> None:
    assert recorded_cameras(noisy(tmp_path, "a").manifest("a")) == ("front", "wrist")


def test_the_command_caches_beside_the_episodes_and_reports(tmp_path: Path) -> None:
    store = noisy(tmp_path, "a")
    report = cache(CacheConfig(tmp_path, cameras=("front",), processes=1))
    assert report.frames == FrameCache(tmp_path / ".cache")
    assert "1 episodes" in report.summary()
    assert "2 pieces made, 0 damaged ones made again, 0 were there" in report.summary()
    assert store.names() == ("a",)
    damage_content(report.frames.frames_path(store.manifest("a"), "front"))
    assert "a: front/frames.npy: wrong checksum" in cache(CacheConfig(tmp_path, processes=1)).summary()


def test_periods_hold_long_phrases_whole(tmp_path: Path) -> None:
    episode = replace(noisy(tmp_path, "a").read("a"), phrases=("", "move a little to the left", "öffne"))
    assert tuple(periods_of(episode)["phrases"].tolist()) == episode.phrases


@pytest.mark.parametrize("camera", ["..", ".", "", "../front", "front/..", ".hidden", "a" * 65, "wrist\n", "-front"])
def test_camera_whose_name_is_no_plain_one_cannot_leave_the_cache(tmp_path: Path, camera: str) -> None:
    manifest, frames = noisy(tmp_path / "store", "a").manifest("a"), FrameCache(tmp_path / "cache")
    with pytest.raises(ConfigurationError, match=r"cannot be cached: .* 1 to 64 of the characters"):
        frames.camera_folder(manifest, camera)
    assert frames.camera_folder(manifest, "Front_2-b").parent == frames.folder(manifest)


@pytest.mark.parametrize("digest", ["..", ".", "", "a" * 63, "A" * 64, "../" + "a" * 61])
def test_recording_whose_hash_is_none_cannot_leave_the_cache(tmp_path: Path, digest: str) -> None:
    manifest = noisy(tmp_path / "store", "a").manifest("a")
    with pytest.raises(EpisodeError, match=r"no SHA-256 of its episode\.mcap"):
        FrameCache(tmp_path / "cache").folder(replace(manifest, files={"episode.mcap": StoredFile(1, digest)}))
