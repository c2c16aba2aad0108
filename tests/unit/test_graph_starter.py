"""A graph that is brought up from the page: one at a time, told of as it is, and taken down."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tutelage.ui import graph_starter
from tutelage.ui.graph_starter import GraphStarter
from tutelage.ui.messages import Launch
from tutelage_core.errors import TutelageError

pytestmark = pytest.mark.unit
ASKED = Launch(type="launch", id=1, robot="twin", task="PickCube", policy="bc_pick_cube", rewards=["twin_tower"])

FILE = """
launch:
- arg: {{name: robot, default: ""}}
- arg: {{name: clock, default: ""}}
- arg: {{name: folder, default: ""}}
- arg: {{name: task, default: ""}}
- arg: {{name: policy, default: ""}}
- arg: {{name: black_box, default: ""}}
- arg: {{name: models, default: ""}}
- executable: {{cmd: "sh -c 'echo [x]: ready; {then}'", name: {name}, output: screen}}
"""


class Told:
    """What was shown of the graph."""

    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []

    def __call__(self, kind: str, facts: Mapping[str, Any]) -> None:
        assert kind == "graph"
        self.all.append(dict(facts))

    def wait(self, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        end = time.monotonic() + 20.0
        while not self.all or not fits(self.all[-1]):
            assert time.monotonic() < end, self.all[-3:]
            time.sleep(0.02)
        return self.all[-1]


@pytest.fixture
def share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Launch files that start a shell instead of nodes."""
    folder = tmp_path / "share" / "launch"
    folder.mkdir(parents=True)
    write(folder, "sleep 60")
    monkeypatch.setattr(graph_starter.packages, "package_share", lambda *_: tmp_path / "share")
    monkeypatch.setattr(graph_starter, "check", lambda _: None)
    return folder


def write(folder: Path, then: str) -> None:
    (folder / graph_starter.LAUNCH_FILE).write_text(FILE.format(then=then, name="graph"), encoding="utf-8")
    (folder / graph_starter.REWARD_LAUNCH_FILE).write_text(
        FILE.format(then="sleep 60", name="rewards"), encoding="utf-8"
    )


def test_graph_comes_up_with_its_rewards_and_goes_down(share: Path, tmp_path: Path) -> None:
    told = Told()
    starter = GraphStarter(tmp_path / "log", tmp_path / "episodes", told)
    assert "brought up" in starter.start(ASKED)
    up = told.wait(lambda facts: facts["state"] == "up")
    assert "2 of 2 nodes are ready" in up["message"]
    with pytest.raises(TutelageError, match="take it down first"):
        starter.start(ASKED)
    starter.end()
    told.wait(lambda facts: facts["state"] == "down")
    assert "ready" in (tmp_path / "log" / "graph.log").read_text(encoding="utf-8")
    starter.close()


def test_node_that_dies_takes_the_graph_down_by_name(share: Path, tmp_path: Path) -> None:
    write(share, "echo the arm is gone; exit 3")
    told = Told()
    starter = GraphStarter(tmp_path / "log", tmp_path / "episodes", told)
    starter.start(ASKED)
    down = told.wait(lambda facts: facts["state"] == "down")
    assert "graph ended with 3: the arm is gone" in down["message"]
    starter.close()


def test_what_is_not_installed_is_refused_by_name(tmp_path: Path) -> None:
    told = Told()
    starter = GraphStarter(tmp_path / "log", tmp_path / "episodes", told)
    starter.start(ASKED.model_copy(update={"policy": "nobodys"}))
    assert "bc_pick_cube" in told.wait(lambda facts: facts["state"] == "down")["message"]
    starter.start(ASKED.model_copy(update={"task": "FlyToTheMoon"}))
    assert "PickCube" in told.wait(lambda facts: facts["state"] == "down" and "Moon" in facts["message"])["message"]


def test_end_without_a_graph_says_where_it_ends(tmp_path: Path) -> None:
    with pytest.raises(TutelageError, match="where it was started"):
        GraphStarter(tmp_path, tmp_path, Told()).end()


def test_end_of_the_page_ends_its_graph(share: Path, tmp_path: Path) -> None:
    told = Told()
    starter = GraphStarter(tmp_path / "log", tmp_path / "episodes", told)
    starter.start(ASKED)
    told.wait(lambda facts: facts["state"] == "up")
    starter.close()
    assert told.all[-1]["state"] == "down"
    assert not [thread for thread in threading.enumerate() if thread.name == "graph"]
