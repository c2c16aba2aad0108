"""What the page is measured beside: its node, cameras that play a video, the graph, and a probe in it."""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from bench.figures import Settings
from bench.ros import READY_LIMIT_S, BenchError, environment, launched, program

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CAMERAS = ("front", "wrist")
WIDTH, HEIGHT, RATE_HZ = 640, 480, 15.0
VIDEO_FRAMES = 60
PORT = 18_420
LIMIT_MS = 20_000


class Pages:
    """`ui_node` by its launch file, in the benchmark's domain."""

    def __init__(self, domain: int, folder: Path, robot: str) -> None:
        """Start it and wait until it is ready."""
        from tutelage.launch import packages
        from tutelage.launch.runner import LaunchRunner

        self._folder = folder
        self._log = (folder / "ui.log").open("a+", encoding="utf-8")
        self._from = self._log.tell()
        variables = environment(domain)
        self.runner = LaunchRunner(environment=variables, stream=self._log)
        file = packages.package_share("tutelage_bringup", variables) / "launch" / "ui.launch.yaml"
        options = {"robot": robot, "port": str(PORT), "folder": str(folder / "episodes"), "log": str(folder / "graph")}
        self.runner.start(file, options)
        end = time.monotonic() + READY_LIMIT_S
        while "[ui_node]: ready" not in self._said():
            if time.monotonic() > end:
                raise BenchError(f"the page is not ready: {self._said()[-500:]}")
            time.sleep(0.05)

    @property
    def process(self) -> psutil.Process:
        """The node's process."""
        return psutil.Process(next(iter(self.runner.processes.values())).pid)

    def close(self) -> None:
        """End it."""
        self.runner.shutdown()
        self._log.close()

    def _said(self) -> str:
        return Path(self._log.name).read_text(encoding="utf-8")[self._from :]


def open_page(browser: Browser, port: int = PORT) -> Page:
    """Open the page in a window of its own."""
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    context.set_default_timeout(LIMIT_MS)
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{port}/")
    page.locator("#who", has_text="you have the wheel").wait_for()
    return page


@contextmanager
def video_cameras(domain: int, folder: Path) -> Iterator[str]:
    """Run a camera node for each camera, playing a video; yield the robot's contract, a file."""
    import cv2
    import numpy as np
    import yaml

    from tutelage.launch import packages
    from tutelage.launch.runner import LaunchRunner
    from tutelage_core.contract import robots_folder

    video = folder / "scene.avi"
    code = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(video), code, RATE_HZ, (WIDTH, HEIGHT))
    rng = np.random.default_rng(0)
    scene = cv2.GaussianBlur(rng.integers(0, 255, (HEIGHT, 2 * WIDTH, 3)).astype(np.uint8), (0, 0), 3) * 2
    for number in range(VIDEO_FRAMES):
        writer.write(np.ascontiguousarray(scene[:, 8 * number : 8 * number + WIDTH]))
    writer.release()
    contract = yaml.safe_load((robots_folder() / "twin.yaml").read_text(encoding="utf-8"))
    options = {"path": str(video)}
    camera = {"width": WIDTH, "height": HEIGHT, "rate_hz": RATE_HZ, "driver": "file", "options": options}
    contract["cameras"] = dict.fromkeys(CAMERAS, camera)
    contract["arm"]["model"] = str(robots_folder() / contract["arm"]["model"])
    robot = folder / "videos.yaml"
    robot.write_text(yaml.safe_dump(contract), encoding="utf-8")
    variables = environment(domain)
    file = packages.package_share("tutelage_bringup", variables) / "launch" / "camera.launch.yaml"
    with (folder / "cameras.log").open("w", encoding="utf-8") as log:
        runners = [LaunchRunner(environment=variables, stream=log) for _ in CAMERAS]
        try:
            for name, runner in zip(CAMERAS, runners, strict=True):
                runner.start(file, {"robot": str(robot), "camera": name})
            yield str(robot)
        finally:
            for runner in runners:
                runner.shutdown()


class Observer:
    """Reads what `page_probe` sees in the graph."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """Read in a thread of its own; return once the episode waits for a hand."""
        self.state, self.since_s = "", 0.0
        self.steps_ms: list[float] = []
        self._process, self._begun = process, False
        threading.Thread(target=self._read, daemon=True).start()
        if not self.wait(lambda: self._begun):
            raise BenchError("the episode does not begin")

    def wait(self, seen: Callable[[], Any], limit_s: float = 20.0) -> bool:
        """Return whether `seen` is true within `limit_s` [s]."""
        end = time.monotonic() + limit_s
        while not seen():
            if time.monotonic() > end:
                return False
            time.sleep(0.002)
        return True

    def _read(self) -> None:
        for line in self._process.stdout or ():
            told = json.loads(line)
            if "step_ms" in told:
                self.steps_ms.append(told["step_ms"])
            else:
                self.state, self.since_s = told["state"], told["s"]
                self._begun = self._begun or told["reason"] == "waiting for a hand"


@contextmanager
def graph_by_hand(settings: Settings) -> Iterator[tuple[Path, Observer]]:
    """Bring the graph up in real time with an episode that waits for a hand; yield a folder and who watches."""
    with tempfile.TemporaryDirectory() as name:
        arguments = {"clock": "realtime", "policy": settings.policy, "folder": f"{name}/episodes", "black_box": name}
        with launched(settings.domain, arguments) as graph:
            with program(settings.domain, "page_probe") as probe:
                yield Path(name), Observer(probe)
            graph.shutdown()
