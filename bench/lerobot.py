"""How fast episodes become a LeRobot data set, against the time that they took to record."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from bench.figures import Direction, Figure, Measurement, Settings, measures

EPISODES = 50
PROCESSES = 2


@measures(
    Figure(
        "lerobot_export_times_real_time",
        4,
        "times real time",
        10.0,
        Direction.AT_LEAST,
        True,
        "recorded duration of 50 PickCube demonstrations over the time to export them on 2 processes, videos included",
    )
)
def exporting(settings: Settings) -> Mapping[str, Measurement]:
    """Record 50 demonstrations with two cameras of 128x128, then time one export, start of the processes included."""
    from tutelage.runs.collect import CollectConfig, collect
    from tutelage.runs.lerobot import ExportConfig, export

    with tempfile.TemporaryDirectory(prefix="tutelage_bench_") as folder:
        store = collect(CollectConfig(Path(folder) / "episodes", episodes=EPISODES, processes=PROCESSES))
        manifests = [store.manifest(name) for name in store.names()]
        recorded_s = sum(m.result.steps / m.metadata.contract.control_rate_hz for m in manifests)
        config = ExportConfig(store.root, Path(folder) / "lerobot", processes=PROCESSES)
        load = os.getloadavg()[0]
        begun = time.perf_counter()
        totals = export(config)
        wall_s = time.perf_counter() - begun
        source_bytes = store.totals().bytes
    return {
        "lerobot_export_times_real_time": Measurement(
            recorded_s / wall_s,
            totals.episodes,
            range(EPISODES),
            extra={
                "recorded_s": recorded_s,
                "wall_s": wall_s,
                "frames": totals.frames,
                "frames_per_s": totals.frames / wall_s,
                "processes": PROCESSES,
                "codec": config.settings.codec,
                "megabytes": totals.bytes / 1e6,
                "megabytes_recorded": source_bytes / 1e6,
                "load_1_min_before_export": load,
            },
        )
    }
