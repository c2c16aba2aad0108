"""Runs the set-up; started by scripts/setup with the project's folder."""

import fcntl
import os
import sys
from pathlib import Path

from stage import Log, run_stages
from stages import Project
from torch_build import CHOICES

# Left by sourced workspaces and activated environments; they would leak another installation into this one.
LEFTOVERS = (
    "AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH", "COLCON_PREFIX_PATH", "PKG_CONFIG_PATH", "PYTHONHOME", "PYTHONPATH",
    "ROS_DISTRO", "ROS_ETC_DIR", "ROS_PYTHON_VERSION", "ROS_VERSION", "VIRTUAL_ENV", "_ROS_WHEELS_BOOTSTRAP_COMPLETE",
)  # fmt: skip


def scrubbed(environment: dict[str, str]) -> dict[str, str]:
    """The environment without what another installation left in it."""
    clean = {name: value for name, value in environment.items() if name not in LEFTOVERS}
    if LEFTOVERS[-1] in environment or "AMENT_PREFIX_PATH" in environment:
        clean.pop("LD_LIBRARY_PATH", None)
    return clean


def main(root: Path) -> int:
    """Sets up the project in `root`; one at a time."""
    torch = os.environ.get("TORCH") or "cpu"
    if torch not in CHOICES:
        print(f"setup: TORCH={torch} is unknown; legal: {', '.join(CHOICES)}", file=sys.stderr)
        return 2
    folder = root / ".setup"
    folder.mkdir(exist_ok=True)
    environment = scrubbed(dict(os.environ))
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("setup: another setup runs in this folder; waiting for it", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        return run_stages(Project(root, torch).stages(), folder, lambda path: Log(path, environment, root))


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1])))
    except KeyboardInterrupt:
        print("setup: interrupted; run it again to go on from here", file=sys.stderr)
        sys.exit(130)
