"""Launch files: both forms give one tree, and what is not accepted is refused by name."""

from pathlib import Path

import pytest
import yaml

from tutelage.launch.plan import LaunchPlan, make_plan
from tutelage.launch.substitutions import Scope, substitute, words
from tutelage.launch.tree import LaunchFileError, load
from tutelage_core.errors import ConfigurationError, UnknownNameError

pytestmark = pytest.mark.unit

XML = """
<launch>
  <arg name="robot" default="twin" description="which arm"><choice value="twin"/><choice value="franka"/></arg>
  <group>
    <push_ros_namespace namespace="lab"/>
    <node pkg="demo" exec="talker" name="voice" args="--loud 'two words'">
      <param name="rate_hz" value="20.0"/>
      <param name="limits"><param name="step_m" value="[0.01, 0.02]"/></param>
      <remap from="chatter" to="/all/chatter"/>
      <env name="COLOUR" value="blue"/>
    </node>
  </group>
  <executable cmd="echo $(var robot)" if="$(equals $(var robot) twin)"/>
</launch>
"""

YAML = """
launch:
- arg: {name: robot, default: twin, description: which arm, choice: [{value: twin}, {value: franka}]}
- group:
  - push_ros_namespace: {namespace: lab}
  - node:
      pkg: demo
      exec: talker
      name: voice
      args: --loud 'two words'
      param:
      - {name: rate_hz, value: 20.0}
      - {name: limits, param: [{name: step_m, value: [0.01, 0.02]}]}
      remap: [{from: chatter, to: /all/chatter}]
      env: [{name: COLOUR, value: blue}]
- executable: {cmd: echo $(var robot), if: $(equals $(var robot) twin)}
"""


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """An install prefix with one package, `demo`, that has one program, `talker`."""
    index = tmp_path / "prefix" / "share" / "ament_index" / "resource_index" / "packages"
    index.mkdir(parents=True)
    (index / "demo").touch()
    program = tmp_path / "prefix" / "lib" / "demo" / "talker"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    (tmp_path / "prefix" / "share" / "demo").mkdir()
    return tmp_path / "prefix"


def write(folder: Path, text: str, name: str = "file.launch.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def plan(path: Path, prefix: Path | None = None, **arguments: str) -> LaunchPlan:
    environment = {"AMENT_PREFIX_PATH": str(prefix or ""), "HOME": "/somewhere"}
    return make_plan(path, arguments, environment, path.parent)


def actions(folder: Path, *items: str) -> Path:
    return write(folder, "launch:\n" + "\n".join(f"- {item}" for item in items))


def printed(launch: LaunchPlan) -> list[str]:
    """What each `echo` of a plan would print."""
    return [" ".join(process.command[1:]) for process in launch.processes]


@pytest.mark.parametrize(("text", "name"), [(XML, "a.launch.xml"), (YAML, "a.launch.yaml")])
def test_both_forms_give_the_same_processes(text: str, name: str, tmp_path: Path, prefix: Path) -> None:
    launch = plan(write(tmp_path, text, name), prefix)
    node, echo = launch.processes
    values = tmp_path / "voice_values.yaml"
    assert node.command == (
        *(str(prefix / "lib" / "demo" / "talker"), "--loud", "two words", "--ros-args"),
        *("-r", "__node:=voice", "-r", "__ns:=/lab", "-r", "chatter:=/all/chatter", "--params-file", str(values)),
    )
    assert node.environment["COLOUR"] == "blue"
    assert yaml.safe_load(values.read_text(encoding="utf-8")) == {
        "/**": {"ros__parameters": {"rate_hz": 20.0, "limits": {"step_m": [0.01, 0.02]}}}
    }
    assert echo.command == ("echo", "twin")
    assert launch.arguments["robot"].choices == ("twin", "franka")


def test_false_condition_leaves_process_out(tmp_path: Path, prefix: Path) -> None:
    assert [process.name for process in plan(write(tmp_path, YAML), prefix, robot="franka").processes] == ["voice"]


def test_group_keeps_what_it_sets_to_itself(tmp_path: Path) -> None:
    path = actions(
        tmp_path,
        "let: {name: x, value: outer}",
        "group: [{let: {name: x, value: inner}}, {executable: {cmd: echo $(var x)}}]",
        "group: {scoped: false, children: [{let: {name: y, value: leaked}}]}",
        "executable: {cmd: echo $(var x) $(var y)}",
    )
    assert printed(plan(path)) == ["inner", "outer leaked"]


def test_environment_is_set_and_unset_for_what_follows(tmp_path: Path) -> None:
    path = actions(
        tmp_path,
        "set_env: {name: COLOUR, value: red}",
        "executable: {cmd: echo $(env COLOUR)}",
        "unset_env: {name: COLOUR}",
        "executable: {cmd: echo $(env COLOUR 'no colour')}",
    )
    launch = plan(path)
    assert printed(launch) == ["red", "no colour"]
    assert launch.processes[0].environment["COLOUR"] == "red"
    assert "COLOUR" not in launch.processes[1].environment


def test_include_hands_arguments_on_and_finds_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    write(tmp_path / "inner", "launch:\n- arg: {name: who}\n- executable: {cmd: echo $(var who) $(dirname)}")
    path = actions(
        tmp_path,
        "include: {file: $(dirname)/inner/file.launch.yaml, arg: [{name: who, value: me}]}",
        "executable: {cmd: echo $(dirname)}",
    )
    assert printed(plan(path)) == [f"me {tmp_path / 'inner'}", str(tmp_path)]


def test_include_of_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LaunchFileError, match="includes itself"):
        plan(actions(tmp_path, "include: {file: $(dirname)/file.launch.yaml}"))


def test_parameter_file_is_substituted_only_where_asked(tmp_path: Path, prefix: Path) -> None:
    write(tmp_path, "/**: {ros__parameters: {robot: $(var robot)}}", "params.yaml")
    both = "param: [{from: $(dirname)/params.yaml}, {from: $(dirname)/params.yaml, allow_substs: true}]"
    path = actions(tmp_path, "arg: {name: robot, default: twin}", f"node: {{pkg: demo, exec: talker, {both}}}")
    command = plan(path, prefix).processes[0].command
    plain, substituted = (Path(command[i + 1]) for i, word in enumerate(command) if word == "--params-file")
    assert plain == tmp_path / "params.yaml"
    assert "robot: twin" in substituted.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("value", "expected"),
    [("3", 3), ("'3'", 3), ("\"'3'\"", "3"), ("true", True), ("[a, b]", ["a", "b"]), ("$(var x)", 1.5), ("''", "")],
)
def test_parameter_values_keep_their_types(value: str, expected: object, tmp_path: Path, prefix: Path) -> None:
    node = f"node: {{pkg: demo, exec: talker, param: [{{name: p, value: {value}}}]}}"
    plan(actions(tmp_path, "let: {name: x, value: '1.5'}", node), prefix)
    written = yaml.safe_load((tmp_path / "talker_values.yaml").read_text(encoding="utf-8"))
    assert written["/**"]["ros__parameters"]["p"] == expected


@pytest.mark.parametrize(
    ("action", "names"),
    [
        ("timer: {period: 1}", ["'timer'", "node", "push_ros_namespace"]),
        ("node: {pkg: demo, exec: talker, machine: far}", ["'machine'", "namespace", "respawn"]),
        ("node: {pkg: demo, exec: talker, remap: [{from: a, onto: b}]}", ["'onto'", "to"]),
        ("node: {pkg: demo}", ["'exec'"]),
        ("node: {pkg: nowhere, exec: talker}", ["'nowhere'", "demo"]),
        ("node: {pkg: demo, exec: talkre}", ["'talkre'", "Did you mean 'talker'"]),
        ("executable: {cmd: echo $(anon x)}", ["'anon'", "find-pkg-share", "dirname"]),
        ("executable: {cmd: echo $(var missing)}", ["'missing'"]),
        ("executable: {cmd: echo $(env MISSING)}", ["MISSING", "default"]),
        ("executable: {cmd: 'echo $(var x'}", ["never closed"]),
        ("executable: {cmd: echo, if: maybe}", ["'maybe'", "true"]),
        ("executable: {cmd: echo, output: paper}", ["'paper'", "screen"]),
        ("executable: {cmd: echo, on_exit: restart}", ["'restart'", "shutdown"]),
        ("executable: {cmd: 'echo $(eval open(1))'}", ["open", "== and !="]),
        ("include: {file: other.launch.yaml}", ["$(dirname)/other.launch.yaml"]),
        ("arg: {name: task}", ["task", "task:=VALUE"]),
        ("node: {pkg: demo, exec: talker, param: [{name: p}]}", ["value, from"]),
        ("node: {pkg: demo, exec: talker, param: [{from: /no/such.yaml}]}", ["/no/such.yaml"]),
    ],
)
def test_what_is_not_accepted_is_refused_by_name(action: str, names: list[str], tmp_path: Path, prefix: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        plan(actions(tmp_path, action), prefix)
    message = str(caught.value)
    assert [name for name in names if name not in message] == []
    assert "file.launch.yaml" in message or "nowhere" in action or "talkre" in action


def test_unknown_argument_is_refused_with_the_legal_ones(tmp_path: Path, prefix: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"'robto'.*legal: robot.*Did you mean 'robot'"):
        plan(write(tmp_path, YAML), prefix, robto="twin")


def test_value_outside_the_choices_is_refused(tmp_path: Path, prefix: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"'ur5'.*legal: franka, twin"):
        plan(write(tmp_path, YAML), prefix, robot="ur5")


@pytest.mark.parametrize("name", ["a.launch.py", "a.txt"])
def test_other_forms_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(LaunchFileError, match=r"legal: \.yaml, \.yml, \.xml"):
        load(write(tmp_path, "", name))


def test_substitutions_nest_and_can_be_escaped() -> None:
    scope = Scope({"a": "b", "b": "c"})
    assert substitute(r"$(var $(var a)) \$(var a)", scope, "here") == "c $(var a)"


@pytest.mark.parametrize(
    ("expression", "result"),
    [("'twin' == 'twin'", "true"), ("\"'a' != 'a'\"", "false"), ("not ('a' == 'b' and 1 == 1)", "true")],
)
def test_eval_compares_literals(expression: str, result: str) -> None:
    assert substitute(f"$(eval {expression})", Scope(), "here") == result


def test_words_keep_quotes_and_substitutions_together() -> None:
    assert words("a 'b c' $(env X 'y z')d", "here") == ["a", "b c", "$(env X 'y z')d"]
