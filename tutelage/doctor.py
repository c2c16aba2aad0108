"""What works on this machine: one line for each check, and what to do about the rest."""

import enum
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tutelage.environment import INTERFACES, PROFILE, ROOT, distribution, graph_environment

SHARED_MEMORY = Path("/dev/shm")
CHILD_LIMIT_S = 60.0


class Level(enum.Enum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    Attributes:
        level: how it ended.
        subject: what was looked at.
        detail: what was seen.
        remedy: what to do; empty when all is well.
    """

    level: Level
    subject: str
    detail: str
    remedy: str = ""

    def __str__(self) -> str:
        """One line."""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{self.level.value:>4}  {self.subject}: {self.detail}{remedy}"


@dataclass(frozen=True)
class DoctorSettings:
    """What counts as enough.

    Attributes:
        least_disk_gb: free disk for recordings and builds [GB].
        least_shared_memory_mb: free shared memory for a graph with two cameras [MB].
        least_cores: cores that a graph in real time needs.
    """

    least_disk_gb: float = 5.0
    least_shared_memory_mb: float = 256.0
    least_cores: int = 2


def check_python(_: DoctorSettings) -> Finding:
    """The interpreter's version."""
    fits = (3, 11) <= sys.version_info[:2] <= (3, 12)
    level = Level.OK if fits else Level.FAIL
    return Finding(level, "Python", platform.python_version(), "" if fits else "run `make setup` with 3.11 or 3.12")


def check_packages(_: DoctorSettings) -> Finding:
    """Installed packages against the lock files."""
    wrong: list[str] = []
    pins = 0
    for lock in sorted((ROOT / "requirements").glob("*.txt")):
        for name, version in re.findall(r"^([\w.-]+)==(\S+)$", lock.read_text(encoding="utf-8"), re.MULTILINE):
            pins += 1
            try:
                found = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                found = "missing"
            if found != version:
                wrong.append(f"{name} {found} (locked {version})")
    if not wrong:
        return Finding(Level.OK, "packages", f"{pins} as locked")
    more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    return Finding(Level.WARN, "packages", ", ".join(wrong[:3]) + more, "rm -r .setup && make setup")


def check_torch(_: DoctorSettings) -> Finding:
    """Which build of torch, and whether it sees a GPU."""
    ok, text = _child(
        "import torch; print(torch.__version__, 'with' if torch.cuda.is_available() else 'without', 'GPU')"
    )
    return Finding(Level.OK if ok else Level.FAIL, "torch", text, "" if ok else "run `make setup`")


def check_rendering(_: DoctorSettings) -> Finding:
    """Whether MuJoCo draws, through which backend."""
    program = (
        'import mujoco; m = mujoco.MjModel.from_xml_string(\'<mujoco><worldbody><light pos="0 0 2"/>'
        '<geom size=".1"/></worldbody></mujoco>\'); d = mujoco.MjData(m); mujoco.mj_forward(m, d); '
        "r = mujoco.Renderer(m, 64, 64); r.update_scene(d); image = r.render(); r.close(); assert image.max() > 0; "
        "print('MuJoCo', mujoco.__version__)"
    )
    backend = graph_environment().get("MUJOCO_GL", "the default backend")
    ok, text = _child(program)
    remedy = "" if ok else "install libosmesa6, or set MUJOCO_GL to egl or glfw"
    return Finding(Level.OK if ok else Level.FAIL, "rendering", f"{text} ({backend})", remedy)


def check_ros(_: DoctorSettings) -> Finding:
    """Whether rclpy loads with its middleware."""
    ok, text = _child("import rclpy; rclpy.init(); rclpy.shutdown(); print('rclpy starts')")
    source = distribution(os.environ)
    detail = f"{text}, from {f'the {source} distribution' if source else 'wheels'}"
    return Finding(Level.OK if ok else Level.FAIL, "ROS 2", detail, "" if ok else "run `make setup`")


def check_interfaces(_: DoctorSettings) -> Finding:
    """Whether the workspace is built."""
    ok, text = _child("import tutelage_interfaces.msg as m; print(sum(n[0].isupper() for n in dir(m)), 'messages')")
    detail = text if ok else f"{text} ({'built' if INTERFACES.is_dir() else 'not built'})"
    return Finding(Level.OK if ok else Level.FAIL, "interfaces", detail, "" if ok else "run `make setup`")


def check_transport(settings: DoctorSettings) -> Finding:
    """Shared memory for camera frames, and the profile that makes use of it."""
    profile = Path(graph_environment().get("FASTRTPS_DEFAULT_PROFILES_FILE", ""))
    if not profile.is_file():
        return Finding(
            Level.FAIL, "transport", f"no profile {profile}", f"unset FASTRTPS_DEFAULT_PROFILES_FILE or use {PROFILE}"
        )
    if not SHARED_MEMORY.is_dir():
        return Finding(Level.WARN, "transport", f"no {SHARED_MEMORY}", "without it large images are lost over UDP")
    free_mb = shutil.disk_usage(SHARED_MEMORY).free / 1e6
    if free_mb < settings.least_shared_memory_mb:
        remedy = (
            f"a graph wants {settings.least_shared_memory_mb:.0f} MB: stop other graphs, or (containers) --shm-size=1g"
        )
        return Finding(Level.WARN, "transport", f"{free_mb:.0f} MB shared memory free", remedy)
    return Finding(Level.OK, "transport", f"{profile.name}, {free_mb:.0f} MB shared memory free")


def check_graph(_: DoctorSettings) -> Finding:
    """Whether another graph already talks in this domain."""
    program = (
        "import time, rclpy; rclpy.init(); n = rclpy.create_node('tutelage_doctor'); time.sleep(2.0); "
        "print(*sorted(x for x in n.get_node_names() if x != 'tutelage_doctor')); n.destroy_node(); rclpy.shutdown()"
    )
    ok, text = _child(program)
    domain = os.environ.get("ROS_DOMAIN_ID", "0")
    if not ok:
        return Finding(Level.FAIL, "domain", f"{domain}: {text}", "run `make setup`")
    if text:
        remedy = "stop that graph, or set ROS_DOMAIN_ID to another number up to 101"
        return Finding(Level.WARN, "domain", f"{domain} already holds {text}", remedy)
    return Finding(Level.OK, "domain", f"{domain} is free")


def check_assets(_: DoctorSettings) -> Finding:
    """Whether the robot assets of the twin are made."""
    folder = Path(os.environ.get("TUTELAGE_CACHE") or ROOT / ".cache") / "assets"
    made = folder.is_dir() and any(folder.rglob("*.xml"))
    remedy = "" if made else "run `python -m sim.assets` with the environment's Python"
    return Finding(Level.OK if made else Level.WARN, "assets", "made" if made else f"none in {folder}", remedy)


def check_models(_: DoctorSettings) -> Finding:
    """Trained heads that come with the project."""
    found = sorted({path.parent.name for path in (ROOT / "models").rglob("*.safetensors")})
    if not found:
        return Finding(Level.WARN, "models", "no trained weights in models/", "train one; see `tutelage --help`")
    return Finding(Level.OK, "models", ", ".join(found))


def check_disk(settings: DoctorSettings) -> Finding:
    """Free disk."""
    free_gb = shutil.disk_usage(ROOT).free / 1e9
    if free_gb < settings.least_disk_gb:
        return Finding(Level.WARN, "disk", f"{free_gb:.1f} GB free", f"recordings want {settings.least_disk_gb:.0f} GB")
    return Finding(Level.OK, "disk", f"{free_gb:.0f} GB free")


def check_cores(settings: DoctorSettings) -> Finding:
    """Cores that this process may use."""
    cores = len(os.sched_getaffinity(0))
    if cores < settings.least_cores:
        return Finding(Level.WARN, "cores", str(cores), "use the lock-step clock; real time needs two")
    return Finding(Level.OK, "cores", str(cores))


CHECKS: tuple[Callable[[DoctorSettings], Finding], ...] = (
    check_python,
    check_packages,
    check_torch,
    check_rendering,
    check_ros,
    check_interfaces,
    check_transport,
    check_graph,
    check_assets,
    check_models,
    check_disk,
    check_cores,
)


def run_doctor(settings: DoctorSettings | None = None) -> int:
    """Runs all checks and prints a line for each.

    Args:
        settings: what counts as enough.

    Returns:
        0 when nothing failed (warnings are no failure), else 1.
    """
    findings = []
    for check in CHECKS:
        finding = check(settings or DoctorSettings())
        print(finding, flush=True)
        findings.append(finding)
    failed = sum(finding.level is Level.FAIL for finding in findings)
    warned = sum(finding.level is Level.WARN for finding in findings)
    print(f"{len(findings)} checks: {failed} failed, {warned} to look at")
    return 1 if failed else 0


def _child(program: str) -> tuple[bool, str]:
    """Runs a program in a process of its own: a library that crashes must not take the doctor with it."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            timeout=CHILD_LIMIT_S,
            check=False,
            env=graph_environment(),
        )
    except subprocess.TimeoutExpired:
        return False, f"no answer within {CHILD_LIMIT_S:.0f} s"
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    return done.returncode == 0, lines[-1] if lines else (
        "" if done.returncode == 0 else f"exit code {done.returncode}"
    )


if __name__ == "__main__":
    sys.exit(run_doctor())
