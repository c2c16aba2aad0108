"""The stages of the set-up, in the order in which they depend on each other."""

import os
import platform
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import shebang
import system
import torch_build
from stage import Log, Stage, StageError

LOCKS = ("runtime", "ros", "dev")
HOOK = "import tutelage.environment; tutelage.environment.activate()"


class Project:
    """A checkout and the environment that is made in it.

    Attributes:
        root: the checkout.
        venv: its Python environment.
        workspace: its ROS workspace.
    """

    def __init__(self, root: Path, torch: str) -> None:
        """Describes the checkout in `root`, with the `torch` build ("cpu" or "cuda")."""
        self.root = root
        self.venv = root / ".venv"
        self.workspace = root / "ros_ws"
        self._torch = torch
        self._python = str(self.venv / "bin" / "python")
        self._mark = self.venv / "tutelage-id"
        self._site = self.venv / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
        self._hook = self._site / "_tutelage.pth"

    def stages(self) -> list[Stage]:
        """All stages."""
        installed = self.workspace / "install"
        return [
            Stage("system", "system packages", self._system, self._system_inputs),
            Stage("venv", "Python environment", self._make_venv, self._venv_inputs, (self._mark,)),
            Stage(
                "torch", f"torch for {self._torch}", self._install_torch, self._torch_inputs, (self._site / "torch",)
            ),
            Stage("packages", "Python and ROS packages", self._install_packages, self._package_inputs),
            Stage("project", "this project", self._install_project, self._project_inputs, (self._hook,)),
            Stage(
                "interfaces",
                "ROS interfaces (a minute)",
                self._build_interfaces,
                self._interface_inputs,
                (installed / "tutelage_interfaces" / "share",),
            ),
            Stage(
                "nodes",
                "ROS nodes and launch files",
                self._build_nodes,
                self._node_inputs,
                (installed / "tutelage_nodes" / "lib", installed / "tutelage_bringup" / "share"),
            ),
            Stage("assets", "robot assets for the twin", self._build_assets, self._asset_inputs, self._asset_outputs()),
        ]

    # --- operating system

    def _system_inputs(self) -> Iterator[str]:
        yield platform.platform()
        yield sys.executable
        yield from system.missing_packages()
        yield from system.wanted_packages()

    def _system(self, log: Log) -> None:
        if missing := system.missing_packages():
            system.install(missing, log)
        if missing := [name for name in system.missing_packages() if not name.startswith("python")]:
            raise StageError(f"still missing after the install: {', '.join(missing)}")
        if wanted := system.wanted_packages():
            try:
                system.install(wanted, log)
            except StageError as error:
                print(f"setup: going on without a browser, so without the page's tests: {error}", flush=True)

    # --- environment

    def _venv_inputs(self) -> Iterator[str]:
        yield str(self.root)
        yield f"{sys.version_info.major}.{sys.version_info.minor}"

    def _venv_fits(self) -> bool:
        """Whether the environment is whole, of this Python, and was made in this folder."""
        try:
            answer = subprocess.run(
                [str(self.venv / "bin" / "pip"), "--version"],
                capture_output=True,
                text=True,
                check=True,
                env={"PATH": os.environ.get("PATH", "")},
            ).stdout
        except (OSError, subprocess.CalledProcessError):
            return False
        return f" from {self._site}" in answer

    def _make_venv(self, log: Log) -> None:
        if not self._venv_fits():
            log.call([sys.executable, "-m", "venv", "--clear", str(self.venv)])
        self._mark.write_text(uuid.uuid4().hex, encoding="utf-8")

    def _made_in(self) -> str:
        return self._mark.read_text(encoding="utf-8") if self._mark.is_file() else ""

    def _torch_inputs(self) -> Iterator[str]:
        yield self._made_in()
        yield f"{torch_build.VERSION} {self._torch}"

    def _install_torch(self, log: Log) -> None:
        torch_build.install(self._torch, self._python, log)

    def _package_inputs(self) -> Iterator[str]:
        yield self._made_in()
        for lock in LOCKS:
            yield self._lock(lock).read_text(encoding="utf-8")
        yield (self.root / "scripts" / "bootstrap" / "ros_prefix.py").read_text(encoding="utf-8")

    def _lock(self, name: str) -> Path:
        return self.root / "requirements" / f"{name}.txt"

    def _install_packages(self, log: Log) -> None:
        requirements = [part for lock in LOCKS for part in ("-r", str(self._lock(lock)))]
        log.call([self._python, "-m", "pip", "install", "--no-deps", *requirements])
        log.call([self._python, str(self.root / "scripts" / "bootstrap" / "ros_prefix.py")])

    def _project_inputs(self) -> Iterator[str]:
        yield self._made_in()
        yield HOOK
        yield (self.root / "pyproject.toml").read_text(encoding="utf-8")

    def _install_project(self, log: Log) -> None:
        log.call([self._python, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "-e", str(self.root)])
        # The name sorts before the ROS wheels' own hook, which starts Python again with the library path set here.
        self._hook.write_text(f"{self.root}\n{HOOK}\n", encoding="utf-8")

    # --- ROS workspace

    def _colcon(self, log: Log, *packages: str) -> None:
        log.call(
            [
                self._python,
                "-m",
                "colcon",
                "--log-base",
                "log",
                "build",
                "--symlink-install",
                "--packages-select",
                *packages,
            ],
            folder=self.workspace,
            AMENT_PREFIX_PATH=str(self.venv),
            CMAKE_PREFIX_PATH=str(self.venv),
            PATH=f"{self.venv / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}",
        )

    def _interface_inputs(self) -> Iterator[str]:
        yield self._made_in()
        yield self._lock("ros").read_text(encoding="utf-8")
        yield from self._contents(self.workspace / "src" / "tutelage_interfaces")

    def _build_interfaces(self, log: Log) -> None:
        self._colcon(log, "tutelage_interfaces")

    def _node_inputs(self) -> Iterator[str]:
        yield from self._interface_inputs()
        for name in ("package.xml", "setup.py", "setup.cfg"):
            yield (self.workspace / "src" / "tutelage_nodes" / name).read_text(encoding="utf-8")
        # installed as links: only a new or lost file needs a build
        bringup = self.workspace / "src" / "tutelage_bringup"
        yield from (str(path.relative_to(bringup)) for path in self._files(bringup))
        for name in ("package.xml", "CMakeLists.txt"):
            yield (bringup / name).read_text(encoding="utf-8")

    def _build_nodes(self, log: Log) -> None:
        self._colcon(log, "tutelage_nodes", "tutelage_bringup")
        shebang.repair(self.workspace / "install" / "tutelage_nodes" / "lib" / "tutelage_nodes", self._python)

    @staticmethod
    def _files(folder: Path) -> list[Path]:
        return sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)

    def _contents(self, folder: Path) -> Iterator[str]:
        for path in self._files(folder):
            yield str(path.relative_to(folder))
            yield path.read_text(encoding="utf-8")

    # --- twin

    def _asset_inputs(self) -> Iterator[str]:
        yield self._made_in()
        yield (self.root / "sim" / "assets.py").read_text(encoding="utf-8")
        yield self._lock("runtime").read_text(encoding="utf-8")

    def _asset_outputs(self) -> tuple[Path, ...]:
        return (Path(os.environ.get("TUTELAGE_CACHE") or self.root / ".cache") / "assets",)

    def _build_assets(self, log: Log) -> None:
        log.call([self._python, "-m", "sim.assets"])
