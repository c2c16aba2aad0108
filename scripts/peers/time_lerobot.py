"""Times LeRobot 0.4.4's own dataset class; run it in the environment of `peers/lerobot`. Prints one line of JSON.

    .cache/peers/lerobot/bin/python scripts/peers/time_lerobot.py --root DATASET --batch 64 --chunk 16 --batches 20

Random windows of one observation and `--chunk` actions go through a DataLoader without workers and torch's collation,
as LeRobot's training does it. Two things are put right for a machine without CUDA. torchvision's compiled part does not
load beside a CPU build of torch, so the operators that it registers are declared first. And LeRobot's video decoders do
not load, so PyAV decodes in their stead, with open files kept as LeRobot's own decoder keeps them; a data set whose
pictures are images is read by LeRobot's code alone.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import av
import numpy as np
import torch

_DECLARED = torch.library.Library("torchvision", "DEF")
for _operator in ("nms", "qnms"):
    _DECLARED.define(f"{_operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from lerobot.datasets import lerobot_dataset  # noqa: E402  after the operators are declared

WARM_UP_BATCHES = 2
_open: dict[str, av.container.InputContainer] = {}


def frames_at(
    video_path: Path | str, timestamps: list[float], tolerance_s: float, backend: str | None = None
) -> torch.Tensor:
    """Return the frames nearest to `timestamps` [s], shape (N, 3, height, width), float32, 0..1."""
    del backend
    path = str(video_path)
    if path not in _open:
        _open[path] = av.open(path)
        _open[path].streams.video[0].thread_count = 1
    container = _open[path]
    stream = container.streams.video[0]
    first, last = min(timestamps), max(timestamps)
    container.seek(int(max(first, 0.0) / stream.time_base + 0.5), stream=stream)
    near = []
    for frame in container.decode(stream):
        if frame.time >= first - tolerance_s:
            near.append(frame)
        if frame.time >= last - tolerance_s:
            break
    chosen = [min(near, key=lambda frame: abs(frame.time - wanted)) for wanted in timestamps] if near else []
    for wanted, frame in zip(timestamps, chosen, strict=True):
        if abs(frame.time - wanted) > tolerance_s:
            raise ValueError(f"{path}: wanted a frame at {wanted} s, the nearest is at {frame.time} s")
    pixels = np.stack([frame.to_ndarray(format="rgb24") for frame in chosen])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255.0


def timed(root: Path, batch: int, chunk: int, batches: int, seed: int) -> dict[str, object]:
    """Return windows per second over `batches` random batches, and what a window was made of."""
    rate = lerobot_dataset.LeRobotDatasetMetadata("local/peer", root=root).fps
    dataset = lerobot_dataset.LeRobotDataset(
        "local/peer", root=root, delta_timestamps={"action": [step / rate for step in range(chunk)]}
    )
    generator = np.random.default_rng(seed)
    order = [generator.integers(0, len(dataset), batch).tolist() for _ in range(WARM_UP_BATCHES + batches)]
    loader = torch.utils.data.DataLoader(dataset, batch_sampler=order, num_workers=0)
    begun = last = None
    for number, loaded in enumerate(loader, 1):
        if number == WARM_UP_BATCHES:
            begun = time.perf_counter()
        last = loaded
    seconds = time.perf_counter() - begun
    cameras = {key: list(last[key].shape) for key in dataset.meta.camera_keys}
    if list(last["action"].shape[:2]) != [batch, chunk] or not cameras:
        raise ValueError(f"{root}: actions of shape {list(last['action'].shape)} and cameras {cameras}")
    return {
        "windows_per_s": batches * batch / seconds,
        "windows": len(dataset),
        "cameras": cameras,
        "pictures": "video, by PyAV" if dataset.meta.video_keys else "image",
    }


def main() -> int:
    """Time one data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--batch", type=int, default=64, help="windows in a batch")
    parser.add_argument("--chunk", type=int, default=16, help="actions in a window")
    parser.add_argument("--batches", type=int, default=20, help="batches that are timed")
    parser.add_argument("--seed", type=int, default=0, help="of the order")
    parser.add_argument("--core", type=int, help="core to run on")
    arguments = parser.parse_args()
    if arguments.core is not None:
        os.sched_setaffinity(0, {arguments.core})
    torch.set_num_threads(1)
    lerobot_dataset.decode_video_frames = frames_at
    found = timed(arguments.root, arguments.batch, arguments.chunk, arguments.batches, arguments.seed)
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
