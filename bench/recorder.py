"""What recording costs, and whether anything is lost by it: two cameras of 640x480 at 30 Hz and an arm at 100 Hz."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.figures import Direction, Figure, Measurement, Settings, measures

LASTS_S = 600.0
RAW_LASTS_S = 60.0
"""Raw pictures make 55 MB in a second."""

LOOK_S = 5.0
BOUND_PERCENT = 60.0
BOUND_MB_PER_MIN = 1.0
"""What counts as flat: a recorder that kept what it writes would grow by hundreds of MB in a minute."""

CAMERA = "{width: 640, height: 480, rate_hz: 30.0, driver: twin}"


@measures(
    Figure(
        "recording_messages_lost",
        4,
        "messages",
        0.0,
        Direction.AT_MOST,
        True,
        "of 2 cameras 640x480 at 30 Hz (JPEG) and an arm at 100 Hz, 10 minutes: sent and not in the recording",
    ),
    Figure(
        "recording_cpu_percent", 4, "% of a core", BOUND_PERCENT, Direction.UNDER, True, "the recorder's, meanwhile"
    ),
    Figure(
        "recording_growth_mb_per_min",
        4,
        "MB/min",
        BOUND_MB_PER_MIN,
        Direction.UNDER,
        True,
        "slope of the recorder's private memory after the first quarter",
    ),
)
def recording(settings: Settings) -> Mapping[str, Measurement]:
    """Record JPEG for ten minutes."""
    found = record(settings.domain, "jpeg", LASTS_S)
    return {
        "recording_messages_lost": Measurement(found["lost"], extra=found),
        "recording_cpu_percent": Measurement(found["cpu_percent"], extra=found),
        "recording_growth_mb_per_min": Measurement(found["growth_mb_per_min"], extra=found),
    }


@measures(
    Figure(
        "recording_raw_messages_lost",
        4,
        "messages",
        0.0,
        Direction.AT_MOST,
        True,
        "the same with raw pictures, for a minute",
    ),
    Figure("recording_raw_cpu_percent", 4, "% of a core", None, Direction.UNDER, True, "the recorder's, meanwhile"),
)
def recording_raw(settings: Settings) -> Mapping[str, Measurement]:
    """Record raw pictures for a minute."""
    found = record(settings.domain, "raw", RAW_LASTS_S)
    return {
        "recording_raw_messages_lost": Measurement(found["lost"], extra=found),
        "recording_raw_cpu_percent": Measurement(found["cpu_percent"], extra=found),
    }


def record(domain: int, image_format: str, seconds: float) -> dict[str, Any]:
    """Record what `record_probe` plays, and return what was lost and what it cost."""
    from bench import ros
    from tutelage_core.contract import robots_folder
    from tutelage_core.episodes.manifest import read_manifest

    with tempfile.TemporaryDirectory(prefix="tutelage_bench_") as name:
        folder = Path(name)
        robot = folder / "large.yaml"
        contract = (robots_folder() / "twin.yaml").read_text(encoding="utf-8")
        robot.write_text(with_large_cameras(contract), encoding="utf-8")
        parameters = {"robot": str(robot), "folder": str(folder / "episodes"), "image_format": image_format}
        given = [word for key, value in parameters.items() for word in ("-p", f"{key}:={value}")]
        asked = ("--robot", str(robot), "--seconds", f"{seconds:g}")
        with (
            ros.program(domain, "recorder_node", "--ros-args", *given) as recorder,
            ros.program(domain, "record_probe", *asked) as probe,
        ):
            watch = Watch(recorder.pid)
            try:
                said = json.loads(ros.output_of(probe, "record_probe", seconds + 120.0))
            finally:
                watch.end()
        if not said["path"]:
            raise ros.BenchError(f"nothing was recorded: {said['message']}")
        manifest = read_manifest(Path(said["path"]))
        kept = {topic.removesuffix("/image_raw/compressed"): n for topic, n in manifest.messages.items()}
        kept = {topic.removesuffix("/image_raw").removeprefix("/camera/"): n for topic, n in kept.items()}
        lost = {topic: sent - kept.get(topic, 0) for topic, sent in said["sent"].items()}
        return {
            "lost": float(sum(max(number, 0) for number in lost.values())),
            "sent": said["sent"],
            "file_mb": sum(file.bytes for file in manifest.files.values()) / 1e6,
            **watch.figures(),
        }


def with_large_cameras(contract: str) -> str:
    """Return a contract's text with both cameras at 640x480 and 30 Hz."""
    lines = contract.splitlines()
    return "\n".join(
        f"{line.split(':')[0]}: {CAMERA}" if line.strip().startswith(("front:", "wrist:")) else line for line in lines
    )


class Watch:
    """Looks at a process's computing time and memory until `end`."""

    def __init__(self, pid: int) -> None:
        """Begin at once."""
        self._pid, self._over = pid, threading.Event()
        self._rows: list[tuple[float, float, float]] = []
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()

    def figures(self) -> dict[str, float]:
        """Return share of a core [%], memory [MB] and its slope after the first quarter [MB/min]."""
        rows = np.array(self._rows[2:])  # it starts up, and nothing is recorded yet
        late = rows[len(rows) // 4 :]
        slope = np.polyfit(late[:, 0] / 60.0, late[:, 2], 1)[0] if len(late) > 2 else float("nan")
        return {
            "cpu_percent": 100.0 * float((late[-1, 1] - late[0, 1]) / (late[-1, 0] - late[0, 0])),
            "memory_mb": float(late[-1, 2]),
            "growth_mb_per_min": float(slope),
        }

    def _look(self) -> None:
        import psutil

        process = psutil.Process(self._pid)
        while not self._over.wait(LOOK_S):
            try:
                times, memory = process.cpu_times(), process.memory_full_info()
            except psutil.Error:
                return
            self._rows.append((time.monotonic(), times.user + times.system, memory.uss / 1e6))
