"""Reads a data set with the real LeRobot 0.4.4 and writes down what it saw.

    .cache/peers/lerobot/bin/python scripts/peers/read_lerobot.py --root DATASET --output SEEN.npz

It runs in the environment that `scripts/peers/lerobot` makes. Two things are put right, and no more. torchvision's
compiled part does not load beside a CPU build of torch, so the operators that it registers are declared before it is
imported. And none of LeRobot's video decoders loads on such a machine, so the one function that fetches frames is
replaced by PyAV. All else of LeRobotDataset runs as published.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import av
import numpy as np
import torch

_MISSING = torch.library.Library("torchvision", "DEF")
for _operator in ("nms", "qnms"):
    _MISSING.define(f"{_operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from lerobot.datasets import lerobot_dataset  # noqa: E402 the operators must be declared first


def frames_at(
    video_path: Path | str, timestamps: list[float], tolerance_s: float, backend: str | None = None
) -> torch.Tensor:
    """Return the frames shown at `timestamps` [s] as LeRobot's decoder does, (N, 3, height, width), 0..1."""
    del backend
    shown: dict[float, np.ndarray] = {}
    with av.open(str(video_path)) as container:
        stream = container.streams.video[0]
        container.seek(int(max(min(timestamps) - tolerance_s, 0.0) / stream.time_base), stream=stream)
        for frame in container.decode(stream):
            shown[frame.time] = frame.to_ndarray(format="rgb24")
            if frame.time >= max(timestamps):
                break
    times = np.array(list(shown))
    chosen = [float(times[np.abs(times - wanted).argmin()]) for wanted in timestamps]
    for wanted, found in zip(timestamps, chosen, strict=True):
        if abs(wanted - found) > tolerance_s:
            raise ValueError(f"{video_path}: wanted a frame at {wanted} s, the nearest is at {found} s")
    pixels = np.stack([shown[time] for time in chosen])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255.0


def read(root: Path) -> dict[str, np.ndarray]:
    """Return every frame of the data set at `root`, images as uint8 (T, height, width, 3), and its statistics."""
    dataset = lerobot_dataset.LeRobotDataset("local/peer", root=root)
    rows: dict[str, list] = {}
    for number in range(len(dataset)):
        for key, value in dataset[number].items():
            rows.setdefault(key, []).append(value)
    seen = {}
    for key, values in rows.items():
        if key in dataset.meta.camera_keys:
            images = torch.stack(values).permute(0, 2, 3, 1)
            seen[key] = (images * 255.0).round().to(torch.uint8).numpy()
        elif isinstance(values[0], str):
            seen[key] = np.array(values)
        else:
            seen[key] = torch.stack(values).numpy()
    for feature, statistics in dataset.meta.stats.items():
        for name, value in statistics.items():
            seen[f"stats/{feature}/{name}"] = np.asarray(value)
    seen["fps"] = np.array(dataset.fps)
    seen["episodes"] = np.array(dataset.num_episodes)
    return seen


def main() -> int:
    """Read, or with `--check` only see that LeRobot is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="folder of the data set")
    parser.add_argument("--output", type=Path, help=".npz file to write")
    parser.add_argument("--check", action="store_true", help="only import LeRobot")
    arguments = parser.parse_args()
    lerobot_dataset.decode_video_frames = frames_at
    if arguments.check:
        return 0
    if arguments.root is None or arguments.output is None:
        parser.error("--root and --output are needed")
    np.savez(arguments.output, **read(arguments.root))
    return 0


if __name__ == "__main__":
    sys.exit(main())
