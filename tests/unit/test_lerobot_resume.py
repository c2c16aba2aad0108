"""Export to a LeRobot data set: no piece is made twice, it goes on after a kill, and nothing is overwritten."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.lerobot_samples import FAST, LENGTHS, export_all, record_all, record_rich, rows_of
from tutelage.runs.lerobot import ExportConfig, export
from tutelage_core.episodes.labels import Label, add_label
from tutelage_core.episodes.lerobot.assemble import assemble
from tutelage_core.episodes.lerobot.episode_export import export_episode
from tutelage_core.episodes.lerobot.piece import partial_folder, piece_folder
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.errors import ConfigurationError, EpisodeError

pytestmark = pytest.mark.unit
CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EpisodeStore:
    return record_all(tmp_path_factory.mktemp("episodes"))


def test_piece_is_not_made_twice(store: EpisodeStore, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert export_episode(store.root, "lift-0", output, FAST)
    before = (piece_folder(output, "lift-0") / "piece.json").stat()
    assert not export_episode(store.root, "lift-0", output, FAST)
    assert not export_episode(store.root, "lift-0", output, replace(FAST, data_file_mb=1.0, language=False))
    after = (piece_folder(output, "lift-0") / "piece.json").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_piece_is_made_again_when_settings_labels_or_recording_changed(tmp_path: Path) -> None:
    output = tmp_path / "out"
    record_rich(tmp_path / "store", "a", 3)
    assert export_episode(tmp_path / "store", "a", output, FAST)
    assert export_episode(tmp_path / "store", "a", output, replace(FAST, crf=40))
    add_label(tmp_path / "store", "a", Label(1, success=False))
    assert export_episode(tmp_path / "store", "a", output, replace(FAST, crf=40))
    manifest = tmp_path / "store" / "a" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"seed": 3', '"seed": 4'))
    assert export_episode(tmp_path / "store", "a", output, replace(FAST, crf=40))


def test_export_goes_on_after_a_kill_in_the_middle_of_a_piece(store: EpisodeStore, tmp_path: Path) -> None:
    output = tmp_path / "out"
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from tutelage_core.episodes.lerobot import episode_export\n"
        "from tests.unit.lerobot_samples import rows_of, FAST\n"
        "root, output = Path(sys.argv[1]), Path(sys.argv[2])\n"
        "episode_export.export_episode(root, 'lift-0', output, FAST)\n"
        "episode_export.publish_piece = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "episode_export.export_episode(root, 'lift-1', output, FAST)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(store.root), str(output)], cwd=CHECKOUT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not output.exists()
    with pytest.raises(EpisodeError, match="lift-1: this piece is missing"):
        assemble(output, store.names(), FAST)
    made = [export_episode(store.root, name, output, FAST) for name in store.names()]
    assert made == [False, True, True]
    assert assemble(output, store.names(), FAST).frames == sum(LENGTHS.values())
    assert [row["index"] for row in rows_of(output / "data")] == list(range(20))


def test_export_goes_on_after_a_kill_while_assembling(store: EpisodeStore, tmp_path: Path) -> None:
    output = tmp_path / "out"
    half = partial_folder(output) / "dataset" / "data"
    half.mkdir(parents=True)
    (half / "file-000.parquet").write_bytes(b"half of it")
    export_all(store, output)
    assert not (output / "data" / "file-000.parquet").exists()


def test_existing_output_is_refused_and_left_alone(store: EpisodeStore, tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / "mine.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match="nothing is overwritten"):
        export(ExportConfig(store.root, output))
    assert [p.name for p in output.iterdir()] == ["mine.txt"]
    assert not partial_folder(output).exists()


def test_partial_folder_of_somebody_else_is_refused(store: EpisodeStore, tmp_path: Path) -> None:
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "thesis.tex").write_text("mine")
    with pytest.raises(ConfigurationError, match=r"thesis\.tex"):
        export(ExportConfig(store.root, tmp_path / "out"))


def test_two_runs_do_not_write_one_data_set(store: EpisodeStore, tmp_path: Path) -> None:
    output = tmp_path / "out"
    partial_folder(output).mkdir()
    with (partial_folder(output) / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConfigurationError, match="another run is writing here"):
            export(ExportConfig(store.root, output, processes=1, settings=FAST))
    assert not output.exists()


def test_damaged_piece_is_refused_by_name(store: EpisodeStore, tmp_path: Path) -> None:
    output = tmp_path / "out"
    for name in store.names():
        export_episode(store.root, name, output, FAST)
    video = piece_folder(output, "lift-1") / "observation.images.front.mp4"
    video.write_bytes((piece_folder(output, "lift-0") / "observation.images.front.mp4").read_bytes())
    with pytest.raises(EpisodeError, match=r"lift-1/observation\.images\.front\.mp4: 7 frames, expected 4"):
        assemble(output, store.names(), FAST)
    video.write_bytes(b"no video")
    with pytest.raises(EpisodeError, match="not a readable video"):
        assemble(output, store.names(), FAST)
    assert not output.exists()
