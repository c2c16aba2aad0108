"""Fault 11 with the real node: `recorder_node` is killed in the middle of it, and the next one mends what it left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from running_graph import test_environment as environment_of
from scoreboard import Scoreboard

from tutelage.launch import packages
from tutelage_core.episodes.repair import INTERRUPTED
from tutelage_core.episodes.store import EpisodeStore

pytestmark = [pytest.mark.faults, pytest.mark.ros, pytest.mark.slow]

KILLS = 100
EPISODE_S = 1.5
SEED = 11
READY_LIMIT_S = 40.0


class Recorder:
    """A `recorder_node` of its own process."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        """Start it, and wait until it is ready."""
        path = packages.executable("tutelage_nodes", "recorder_node", environment)
        self._log = (folder / "recorder.log").open("w+", encoding="utf-8")
        given = ["-p", f"folder:={folder / 'episodes'}", "-p", "min_free_mb:=10.0"]
        self.process = subprocess.Popen(
            [str(path), "--ros-args", *given], env=environment, stdout=self._log, stderr=subprocess.STDOUT
        )
        end = time.monotonic() + READY_LIMIT_S
        while "[recorder_node]: ready" not in self.said:
            assert time.monotonic() < end, self.said
            assert self.process.poll() is None, self.said
            time.sleep(0.05)

    @property
    def said(self) -> str:
        """What it has printed."""
        return Path(self._log.name).read_text(encoding="utf-8")

    def kill(self) -> None:
        """End it without a word."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._log.close()


@pytest.mark.timeout(3600)
def test_recorder_node_killed_a_hundred_times_keeps_every_episode(
    scoreboard: Scoreboard, domain: int, tmp_path: Path
) -> None:
    """The probe goes on recording one episode after the other, whatever becomes of the recorder."""
    environment = environment_of(domain)
    rng = np.random.default_rng(SEED)
    store = EpisodeStore(tmp_path / "episodes")
    asked = ["--robot", "twin", "--seconds", str(EPISODE_S), "--episodes", "0"]
    probe_path = packages.executable("tutelage_nodes", "record_probe", environment)
    lost = broken = interrupted = 0
    finished: set[str] = set()
    lengths: dict[str, int] = {}
    for number in range(KILLS):
        recorder = Recorder(environment, tmp_path)
        probe = subprocess.Popen(
            [str(probe_path), *asked, "--prefix", f"try{number:03d}"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        end = time.monotonic() + READY_LIMIT_S
        while not list((tmp_path / "episodes").glob(f"try{number:03d}-*")):
            assert time.monotonic() < end, recorder.said
            time.sleep(0.02)
        time.sleep(float(rng.uniform(0.0, 2.5 * EPISODE_S)))
        recorder.kill()
        probe.send_signal(signal.SIGINT)
        said, _ = probe.communicate(timeout=READY_LIMIT_S)
        finished |= {line["episode"] for line in map(json.loads, said.splitlines()) if line["path"]}
    Recorder(environment, tmp_path).kill()  # mends the last one
    for name in store.names():
        episode = store.read(name)
        lengths[name] = len(episode)
        interrupted += episode.result.termination == INTERRUPTED
        broken += not (np.diff(episode.stamps_ns) > 0).all()
    lost = len(finished - set(store.names()))
    hopeless = [partial for partial in store.partial() if "no control period in it is whole" not in partial.reason]
    scoreboard.note(
        11,
        "recorder_node killed while messages stream in, started again",
        clock="counted",
        tries=KILLS,
        lost_steps=lost,
        sound=KILLS - broken - len(hopeless),
        repaired=interrupted,
        partial_marked=len(store.partial()),
        recovery="auto",
    )
    assert lost == 0
    assert broken == 0
    assert hopeless == []
    assert interrupted > KILLS // 4, "hardly one was killed within an episode: nothing was tested"
    assert len(finished) > KILLS // 4
    assert all(length <= 10 * EPISODE_S + 3 for length in lengths.values())
