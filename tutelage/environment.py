"""What a process of this checkout needs in its environment, so that nobody has to source anything.

`scripts/setup` has every Python of the environment call `activate` as it starts: it finds the ROS wheels and the built
workspace. Where a ROS distribution is sourced, it changes nothing. Standard library only: this runs in every start.
"""

import os
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORKSPACE = ROOT / "ros_ws"
INTERFACES = WORKSPACE / "install" / "tutelage_interfaces"
PROFILE = WORKSPACE / "src" / "tutelage_bringup" / "config" / "fastdds_shm.xml"

GUARD = "_ROS_WHEELS_BOOTSTRAP_COMPLETE"
"""Set by the ROS wheels' start hook once LD_LIBRARY_PATH is right; without it the hook starts Python again."""


def distribution(environment: Mapping[str, str]) -> str | None:
    """Name of the ROS distribution that is sourced ("jazzy"), or None where the wheels are used."""
    return environment.get("ROS_DISTRO") if environment.get("AMENT_PREFIX_PATH") else None


def workspace_prefixes() -> list[Path]:
    """Install folders of the built workspace's packages; empty before `make setup` has built them."""
    installed = WORKSPACE / "install"
    return sorted(path for path in installed.glob("*") if (path / "share" / "ament_index").is_dir())


def python_folders() -> list[Path]:
    """Folders that hold the workspace's Python packages; a link of a develop install is followed."""
    folders: list[Path] = []
    for prefix in workspace_prefixes():
        for site in sorted((prefix / "lib").glob("python3.*/site-packages")):
            folders.append(site)
            for link in sorted(site.glob("*.egg-link")):
                lines = link.read_text(encoding="utf-8").splitlines()  # empty while a build writes it
                folders += [Path(line) for line in lines[:1]]
    return folders


def ros_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that make the ROS wheels and the workspace work.

    What the user has set stays: search paths are extended, single values are kept.

    Args:
        environment: the variables as they are.

    Returns:
        The variables to change; empty under a sourced distribution, and where all is set already.
    """
    if distribution(environment):
        return {}
    prefixes = workspace_prefixes()
    libraries = [str(prefix / "lib") for prefix in prefixes if any((prefix / "lib").glob("*.so"))]
    wanted = {
        "AMENT_PREFIX_PATH": _extended(environment, "AMENT_PREFIX_PATH", [*map(str, prefixes), sys.prefix]),
        "LD_LIBRARY_PATH": _extended(environment, "LD_LIBRARY_PATH", libraries),
        "RMW_IMPLEMENTATION": environment.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp"),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST"),
        # Jazzy reads the second name, later ones the first
        "FASTDDS_DEFAULT_PROFILES_FILE": environment.get("FASTDDS_DEFAULT_PROFILES_FILE", str(PROFILE)),
        "FASTRTPS_DEFAULT_PROFILES_FILE": environment.get("FASTRTPS_DEFAULT_PROFILES_FILE", str(PROFILE)),
        "MUJOCO_GL": environment.get("MUJOCO_GL", "osmesa"),
    }
    return {name: value for name, value in wanted.items() if value and environment.get(name) != value}


def _extended(environment: Mapping[str, str], name: str, folders: list[str]) -> str:
    present = [folder for folder in environment.get(name, "").split(os.pathsep) if folder]
    return os.pathsep.join([folder for folder in folders if folder not in present] + present)


def graph_environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Environment for the processes of a graph.

    Args:
        base: variables to start from, those of this process by default.

    Returns:
        All variables of a child: what ROS needs, one thread each for linear algebra and for the software renderer
        (the processes share the cores), and unbuffered output.
    """
    environment = dict(os.environ if base is None else base)
    _apply(environment)
    for name, value in {"OMP_NUM_THREADS": "1", "LP_NUM_THREADS": "0", "PYTHONUNBUFFERED": "1"}.items():
        environment.setdefault(name, value)
    return environment


def activate() -> None:
    """Readies this process: its variables, and the folders that it imports the workspace from."""
    if distribution(os.environ):
        return
    _apply(os.environ)
    for folder in map(str, python_folders()):
        if folder not in sys.path:
            sys.path.append(folder)


def _apply(environment: MutableMapping[str, str]) -> None:
    changes = ros_variables(environment)
    environment.update(changes)
    if "LD_LIBRARY_PATH" in changes or not environment.get("LD_LIBRARY_PATH"):
        environment.pop(GUARD, None)  # the loader read the old path: let the wheels' hook start Python again
