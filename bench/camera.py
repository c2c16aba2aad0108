"""How images travel: from `camera_node` to another process."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import ros
from bench.figures import Direction, Figure, Measurement, Settings, measures

WIDTH, HEIGHT = 640, 480
RATE_HZ = 30.0
LASTS_S = 20.0
VIDEO_FRAMES = 900
"""30 s: the video must not begin again while it is measured."""

BITS, SQUARE_PX = 16, 16
"""The number of a frame: squares as wide as two of JPEG's blocks survive any compression."""

PROBE_LIMIT_S = 90.0


@measures(
    Figure(
        "camera_640x480_30hz_frames_lost",
        1,
        "frames",
        0.0,
        Direction.AT_MOST,
        False,
        "rgb8 images of camera_node that another process does not get, 20 s",
    ),
    Figure(
        "camera_640x480_30hz_median_ms",
        1,
        "ms",
        6.0,
        Direction.UNDER,
        False,
        "from the stamp of an image to its arrival in another process, median",
    ),
    Figure("camera_640x480_30hz_p99_ms", 1, "ms", 20.0, Direction.UNDER, False, "the same, 99th percentile"),
)
def camera(settings: Settings) -> Mapping[str, Measurement]:
    """Play a numbered video through `camera_node` and watch it with `image_probe`."""
    with tempfile.TemporaryDirectory(prefix="tutelage_bench_") as folder:
        video = Path(folder) / "numbered.avi"
        write_numbered_video(video)
        parameters = {
            "camera": "bench",
            "driver": "file",
            "path": str(video),
            "width": WIDTH,
            "height": HEIGHT,
            "rate_hz": RATE_HZ,
        }
        given = [word for key, value in parameters.items() for word in ("-p", f"{key}:={value}")]
        topic = "/camera/bench/image_raw"
        with (
            ros.program(
                settings.domain,
                "image_probe",
                "--topic",
                topic,
                "--seconds",
                str(LASTS_S),
                "--bits",
                str(BITS),
                "--square-px",
                str(SQUARE_PX),
            ) as probe,
            ros.program(settings.domain, "camera_node", "--ros-args", *given),
        ):
            rows = json.loads(ros.output_of(probe, "image_probe", PROBE_LIMIT_S))["stamp_seen_number"]
    return evaluate_arrivals(rows)


def evaluate_arrivals(rows: Sequence[tuple[int, int, int]]) -> Mapping[str, Measurement]:
    """Return the figures of arrivals: rows of stamp [ns], arrival [ns] and number of the frame."""
    import numpy as np

    stamps_ns, seen_ns, numbers = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    latency_ms = (seen_ns - stamps_ns) / 1e6
    lost = int(np.sum(np.diff(numbers) % VIDEO_FRAMES - 1))
    rate_hz = (len(rows) - 1) / max((int(stamps_ns[-1]) - int(stamps_ns[0])) / 1e9, 1e-9)
    extra = {
        "received": len(rows),
        "rate_hz": rate_hz,
        "max_ms": float(latency_ms.max()),
        "longest_stamp_gap_ms": float(np.diff(stamps_ns).max() / 1e6),
    }
    return {
        "camera_640x480_30hz_frames_lost": Measurement(lost, extra=extra),
        "camera_640x480_30hz_median_ms": Measurement(float(np.median(latency_ms)), extra=extra),
        "camera_640x480_30hz_p99_ms": Measurement(float(np.percentile(latency_ms, 99)), extra=extra),
    }


def write_numbered_video(path: Path) -> None:
    """Write a Motion-JPEG video whose frames carry their numbers, as `image_probe` reads them.

    Raises:
        BenchError: OpenCV cannot write it.
    """
    import cv2
    import numpy as np

    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), RATE_HZ, (WIDTH, HEIGHT))
    if not writer.isOpened():
        raise ros.BenchError(f"OpenCV cannot write Motion JPEG to {path}")
    across, down = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    scene = np.stack([across % 256, down % 256, (across + down) % 256], axis=2).astype(np.uint8)
    for number in range(VIDEO_FRAMES):
        frame = np.roll(scene, 3 * number, axis=1)
        for bit in range(BITS):
            frame[:SQUARE_PX, bit * SQUARE_PX : (bit + 1) * SQUARE_PX] = 255 * (number >> bit & 1)
        writer.write(frame)
    writer.release()
