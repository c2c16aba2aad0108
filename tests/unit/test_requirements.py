"""Lock files: every line pins one version, and whatever the project imports is pinned."""

import ast
import importlib.metadata
import re
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("tutelage_core", "hardware", "sim", "policies", "reward_models", "tutelage", "bench", "tests", "ros_ws/src")
OPTIONAL = {"pyrealsense2", "hid", "pyspacemouse", "panda_py", "franky", "rtde_control", "rtde_receive"}
"""Drivers and accelerators that a user adds; imported behind a check that says how."""


def pins() -> dict[str, str]:
    lines = [line for path in (ROOT / "requirements").glob("*.txt") for line in path.read_text("utf-8").splitlines()]
    found = [re.fullmatch(r"([a-z0-9-]+)==(\S+)", line) for line in lines if line and not line.startswith("#")]
    assert all(found), "each line is name==version"
    names = [match[1] for match in found if match]
    assert len(names) == len(set(names)), "no package stands in two files"
    return {match[1]: match[2] for match in found if match}


def imported() -> dict[str, str]:
    """Top-level names of all absolute imports, each with one file that has it."""
    names: dict[str, str] = {}
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    modules = [node.module]
                names |= {module.split(".")[0]: str(path.relative_to(ROOT)) for module in modules}
    return names


def test_everything_imported_is_pinned() -> None:
    pinned = {*pins(), "torch"}
    distributions = importlib.metadata.packages_distributions()
    own = {path.stem for path in ROOT.rglob("*.py") if ".venv" not in path.parts} | {Path(room).name for room in ROOMS}
    own |= {"tutelage_nodes", "tutelage_interfaces"}
    missing = {}
    for name, file in imported().items():
        if name in own or name in OPTIONAL or name in sys.stdlib_module_names:
            continue
        owners = {re.sub(r"[-_.]+", "-", owner).lower() for owner in distributions.get(name, [])}
        owners |= {f"ros-{owner}" for owner in owners}
        if not owners & pinned:
            missing[name] = file
    assert missing == {}


def test_no_project_file_names_a_registry() -> None:
    texts = [path.read_text("utf-8") for path in (ROOT / "requirements").glob("*.txt")]
    assert not any(re.search(r"https?://|--(extra-)?index-url|--find-links", text) for text in texts)
