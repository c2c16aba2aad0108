"""The correction page from the command line: its node, until Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tutelage.environment import graph_environment
from tutelage.launch import packages
from tutelage.launch.runner import LaunchRunner, LaunchSettings
from tutelage.runs.graph import BRING_UP_PACKAGE
from tutelage.ui.access import Access
from tutelage_core.contract import load_contract

LAUNCH_FILE = "ui.launch.yaml"
GRACE = LaunchSettings(interrupt_grace_s=30.0)
"""The page's end takes down a graph that it has brought up."""


@dataclass(frozen=True)
class PageConfig:
    """Settings of `tutelage page`.

    Attributes:
        robot: robot's contract: it names the cameras.
        host: address to listen at; any but this machine's own needs a token.
        port: port there.
        token: what a visitor has to know: 16 letters and digits at least.
        names: other names of this machine in a browser's address line, with commas between them.
        folder: where recorded episodes are and go.
        log: where the log and the black boxes of a graph go that the page brings up.
        max_speed_m_s: speed of the TCP at full deflection [m/s].
        max_turn_rad_s: rate of turn at full deflection [rad/s].
    """

    robot: str = "twin"
    host: str = "127.0.0.1"
    port: int = 8080
    token: str = ""
    names: str = ""
    folder: Path = Path("runs/episodes")
    log: Path = Path("runs/page")
    max_speed_m_s: float = 0.1
    max_turn_rad_s: float = 0.5


def serve_page(config: PageConfig, opened: Callable[[str], None]) -> int:
    """Serve the page until Ctrl-C; it can bring a graph up, or join one that runs.

    Args:
        config: how.
        opened: called with the page's address before its node starts.

    Returns:
        0 when the node ended well, else 1.

    Raises:
        ConfigurationError: an open door, or an address that is none.
        UnknownNameError: there is no such robot.
    """
    access = Access(config.host, config.port, config.token)
    load_contract(config.robot)
    environment = graph_environment()
    file = packages.package_share(BRING_UP_PACKAGE, environment) / "launch" / LAUNCH_FILE
    arguments = {name: str(value) for name, value in vars(config).items()}
    arguments |= {"folder": str(config.folder.resolve()), "log": str(config.log.resolve())}
    host = f"[{access.host}]" if ":" in access.host else access.host
    opened(f"http://{host}:{access.port}/{'?token=' + access.token if access.token else ''}")
    with LaunchRunner(GRACE, environment) as runner:
        runner.start(file, arguments)
        return runner.wait() or 0
