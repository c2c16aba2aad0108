"""Environment of a checkout: what is added, what the user has set, and when nothing is touched."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tutelage import environment

pytestmark = pytest.mark.unit


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A built workspace with an interface package and a linked Python package."""
    installed = tmp_path / "install"
    for package in ("words", "nodes"):
        (installed / package / "share" / "ament_index").mkdir(parents=True)
        (installed / package / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
    (installed / "words" / "lib" / "libwords.so").touch()
    link = installed / "nodes" / "lib" / "python3.11" / "site-packages" / "nodes.egg-link"
    link.write_text(f"{tmp_path}/build/nodes\n.", encoding="utf-8")
    monkeypatch.setattr(environment, "WORKSPACE", tmp_path)
    return installed


def test_workspace_comes_before_the_wheels(workspace: Path) -> None:
    found = environment.ros_variables({})["AMENT_PREFIX_PATH"].split(os.pathsep)
    assert found == [str(workspace / "nodes"), str(workspace / "words"), sys.prefix]


def test_libraries_and_linked_packages_are_found(workspace: Path) -> None:
    assert environment.ros_variables({})["LD_LIBRARY_PATH"] == str(workspace / "words" / "lib")
    assert workspace.parent / "build" / "nodes" in environment.python_folders()


def test_second_time_changes_nothing(workspace: Path) -> None:
    first = environment.ros_variables({"LD_LIBRARY_PATH": "/mine"})
    assert first["LD_LIBRARY_PATH"] == f"{workspace / 'words' / 'lib'}{os.pathsep}/mine"
    assert environment.ros_variables(first) == {}


def test_what_the_user_has_set_stays(workspace: Path) -> None:
    mine = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET", "FASTRTPS_DEFAULT_PROFILES_FILE": "/my.xml", "MUJOCO_GL": "egl"}
    assert workspace.is_dir()
    assert mine.keys().isdisjoint(environment.ros_variables(mine))


def test_sourced_distribution_is_left_alone(workspace: Path) -> None:
    assert workspace.is_dir()
    assert environment.ros_variables({"ROS_DISTRO": "jazzy", "AMENT_PREFIX_PATH": "/opt/ros/jazzy"}) == {}


def test_graph_process_shares_the_cores() -> None:
    variables = environment.graph_environment({"OMP_NUM_THREADS": "3"})
    assert variables["OMP_NUM_THREADS"] == "3"
    assert variables["LP_NUM_THREADS"] == "0"


def test_profile_that_is_shipped_holds_whole_frames() -> None:
    text = environment.PROFILE.read_text(encoding="utf-8")
    segment = int(text.split("<segment_size>")[1].split("<")[0])
    assert segment >= 8 * 1280 * 720 * 3


def test_python_finds_the_project_from_anywhere_without_sourcing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import tutelage, tutelage_core, os; print(os.environ['AMENT_PREFIX_PATH'])"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert sys.prefix in done.stdout
