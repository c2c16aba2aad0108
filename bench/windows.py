"""How quickly training windows come from disk, also beside LeRobot's own data set of the same episodes."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.figures import Direction, Figure, Measurement, Settings, measures
from bench.machine import ONE_THREAD, measure_in_children, usable_cores

if TYPE_CHECKING:
    from tutelage_core.episodes.window_dataset import WindowDataset

ROOT = Path(__file__).resolve().parent.parent
RECORDINGS = ROOT / "runs" / "bench_windows" / "episodes"
"""Folder that keeps the recordings, and beside them their cache, from run to run."""
PEER = ROOT / ".cache" / "peers" / "lerobot"
TIME_PEER = ROOT / "scripts" / "peers" / "time_lerobot.py"

EPISODES = 40
BATCH, CHUNK, HISTORY = 64, 16, 1
ROUNDS = 5
OWN_BATCHES, PEER_BATCHES = 200, 10
"""Batches of one run; LeRobot's take about a second each."""
WARM_UP_BATCHES = 2
STATE_KEYS = ("tcp_position", "tcp_rotation_6d", "gripper_opening")


@measures(
    Figure(
        "windows_per_s",
        4,
        "windows/s",
        None,
        Direction.AT_LEAST,
        False,
        "random windows from the frame cache, page cache warm: batch 64, two cameras 128x128, chunk 16, one process",
    )
)
def windows(_: Settings) -> Mapping[str, Measurement]:
    """Time the warm page cache, and one pass over all windows after the files' pages were dropped."""
    record()
    runs = [rate for (rate,) in (measure_in_children(own_rate, [(seed, False)], pin=True) for seed in range(ROUNDS))]
    (cold,) = measure_in_children(cold_rate, [()], pin=True)
    extra = {"page_cache": "warm", "runs": [round(rate) for rate in runs], "batch": BATCH, "episodes": EPISODES, **cold}
    return {"windows_per_s": Measurement(statistics.median(runs), EPISODES, range(EPISODES), extra=extra)}


@measures(
    Figure(
        "windows_of_lerobot",
        4,
        "of LeRobot's",
        2.0,
        Direction.AT_LEAST,
        True,
        "windows/s as a share of LeRobotDataset's (0.4.4) on the export of the same episodes, same float images",
    )
)
def beside_lerobot(_: Settings) -> Mapping[str, Measurement]:
    """Run both in turn on the same core, each in a process of its own; LeRobot reads videos, its quicker layout.

    Ours is timed with the conversion to what LeRobot hands out: float32 images (3, height, width) in 0..1.
    """
    if not (PEER / "ready").exists():
        return {"windows_of_lerobot": skipped(f"{PEER.relative_to(ROOT)} is not there; scripts/peers/lerobot makes it")}
    record()
    from tutelage.runs.lerobot import ExportConfig, export
    from tutelage_core.episodes.lerobot.layout import ExportSettings

    with tempfile.TemporaryDirectory(dir=RECORDINGS.parent) as folder:
        export(ExportConfig(RECORDINGS, Path(folder) / "lerobot", processes=1, settings=ExportSettings(language=False)))
        ours, theirs, plain, peer = [], [], [], {}
        for seed in range(ROUNDS):
            ours += measure_in_children(own_rate, [(seed, True)], pin=True)
            peer = peer_run(Path(folder) / "lerobot", seed)
            theirs.append(float(peer["windows_per_s"]))
            plain += measure_in_children(own_rate, [(seed, False)], pin=True)
    their_rate = statistics.median(theirs)
    extra = {
        "ours": [round(rate) for rate in ours],
        "ours_uint8": [round(rate) for rate in plain],
        "lerobot": [round(rate) for rate in theirs],
        "ratio_uint8": statistics.median(plain) / their_rate,
        "batch": BATCH,
        "page_cache": "warm",
        **{f"lerobot_{key}": peer[key] for key in ("pictures", "windows")},
    }
    ratio = statistics.median(ours) / their_rate
    return {"windows_of_lerobot": Measurement(ratio, EPISODES, range(EPISODES), extra=extra)}


def skipped(reason: str) -> Measurement:
    """Return what stands for a figure that cannot be measured here."""
    return Measurement(float("nan"), extra={"skipped": reason})


def record() -> None:
    """Record the demonstrations and cache them, as far as that was not done yet."""
    from tutelage.runs.cache import CacheConfig, cache
    from tutelage.runs.collect import CollectConfig, collect

    collect(CollectConfig(RECORDINGS, episodes=EPISODES, processes=len(usable_cores())))
    cache(CacheConfig(RECORDINGS, processes=1))


def dataset() -> WindowDataset:
    """Return the windows of the recordings."""
    from tutelage.runs.cache import CACHE_FOLDER
    from tutelage_core.episodes.frame_cache import FrameCache
    from tutelage_core.episodes.store import EpisodeStore
    from tutelage_core.episodes.window_dataset import WindowDataset

    frames = FrameCache(RECORDINGS / CACHE_FOLDER)
    return WindowDataset(EpisodeStore(RECORDINGS), frames, ("front", "wrist"), STATE_KEYS, HISTORY, CHUNK)


def own_rate(seed: int, as_floats: bool) -> float:
    """Return windows per second through a DataLoader without workers, after every file was read once."""
    import numpy as np
    import torch
    from torch.utils.data import DataLoader

    from tutelage_core.episodes.window_batch import WindowBatch

    torch.set_num_threads(1)
    read = dataset()
    for episode in range(len(read.names)):
        read.episode(episode)
    generator = np.random.default_rng(seed)
    order = [generator.integers(0, len(read), BATCH).tolist() for _ in range(WARM_UP_BATCHES + OWN_BATCHES)]
    begun = 0.0
    loader = DataLoader(read, batch_sampler=order, collate_fn=WindowBatch.tensors)  # type: ignore[arg-type]
    for number, batch in enumerate(loader, 1):
        if as_floats:
            for pixels in batch["images"].values():
                pixels[:, 0].permute(0, 3, 1, 2).contiguous().float().div_(255.0)
        if number == WARM_UP_BATCHES:
            begun = time.perf_counter()
    return OWN_BATCHES * BATCH / (time.perf_counter() - begun)


def cold_rate() -> dict[str, object]:
    """Return the rate of one random pass over all windows after the kernel was asked to forget the files.

    No rights are needed for that, but a file system may not obey: what really came from the disk is said beside it.
    """
    import numpy as np

    read = dataset()
    for path in read.cached_files():
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
    order = np.random.default_rng(0).permutation(len(read))
    before, begun = read_from_disk(), time.perf_counter()
    for start in range(0, len(order), BATCH):
        read.__getitems__(order[start : start + BATCH].tolist())
    seconds, from_disk = time.perf_counter() - begun, read_from_disk() - before
    size = sum(path.stat().st_size for path in read.cached_files())
    return {
        "cold_windows_per_s": len(order) / seconds,
        "cold_share_from_disk": from_disk / size,
        "cached_mb": size / 1e6,
    }


def read_from_disk() -> int:
    """Return how many bytes this process had fetched from storage."""
    text = Path("/proc/self/io").read_text(encoding="utf-8")
    return int(dict(row.split(": ") for row in text.splitlines())["read_bytes"])


def peer_run(root: Path, seed: int) -> dict[str, Any]:
    """Time LeRobot's data set at `root` in its own environment, on the core that our children are pinned to."""
    command = [PEER / "bin" / "python", TIME_PEER, "--root", root, "--batch", BATCH, "--chunk", CHUNK]
    command += ["--batches", PEER_BATCHES, "--seed", seed, "--core", usable_cores()[0]]
    told = subprocess.run(
        [str(word) for word in command],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=600,
        env={**os.environ, **ONE_THREAD},
    )
    return json.loads(told.stdout.splitlines()[-1])
