"""What a launch file comes down to: the processes to start, with everything resolved."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tutelage.launch import packages
from tutelage.launch.grammar import OUTPUTS
from tutelage.launch.parameters import parameter_files
from tutelage.launch.substitutions import Scope, substitute, truth, words
from tutelage.launch.tree import Entity, LaunchFileError, load
from tutelage_core.errors import UnknownNameError


@dataclass(frozen=True)
class ProcessSpec:
    """One process to start.

    Attributes:
        name: label of its output; unique in a plan.
        command: program and arguments.
        environment: all its variables.
        cwd: working folder, None for the runner's own.
        respawn: start it again when it ends by itself.
        respawn_delay_s: pause before that [s].
        ends_all: its end ends the whole launch (`on_exit="shutdown"`).
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    cwd: str | None = None
    respawn: bool = False
    respawn_delay_s: float = 0.0
    ends_all: bool = False


@dataclass(frozen=True)
class LaunchArgument:
    """An argument that a launch file declares."""

    name: str
    default: str | None
    description: str
    choices: tuple[str, ...]


@dataclass
class LaunchPlan:
    """Result of reading a launch file with its arguments."""

    processes: list[ProcessSpec] = field(default_factory=list)
    arguments: dict[str, LaunchArgument] = field(default_factory=dict)


def make_plan(path: Path, arguments: Mapping[str, str], environment: Mapping[str, str], folder: Path) -> LaunchPlan:
    """Reads a launch file; nothing is started.

    Args:
        path: the launch file.
        arguments: values for its arguments, `key:=value` of the command line.
        environment: variables that the processes get; AMENT_PREFIX_PATH says where packages are.
        folder: where generated parameter files go.

    Returns:
        The processes, and the arguments that the file and its includes declare.

    Raises:
        ConfigurationError: something is not accepted, missing or unknown; the message names it and the legal values.
    """
    planner = _Planner(folder)
    planner.file(path, Scope(dict(arguments), dict(environment)))
    for name in arguments:
        if name not in planner.plan.arguments:
            raise UnknownNameError("launch argument", name, planner.plan.arguments, str(path))
    return planner.plan


class _Planner:
    """Walks through the tree as `ros2 launch` does: in order, an include shares the scope of its includer."""

    def __init__(self, folder: Path) -> None:
        self.plan = LaunchPlan()
        self._folder = folder
        self._files: list[Path] = []

    def file(self, path: Path, scope: Scope) -> None:
        path = path.resolve()
        if path in self._files:
            raise LaunchFileError(f"{path} includes itself, by way of {self._files[-1]}")
        outer, scope.folder = scope.folder, path.parent
        self._files.append(path)
        for entity in load(path):
            self._entity(entity, scope)
        self._files.pop()
        scope.folder = outer

    def _entity(self, entity: Entity, scope: Scope) -> None:
        where = str(entity)
        if "if" in entity.attributes and not truth(self._text(entity, "if", scope), where):
            return
        if "unless" in entity.attributes and truth(self._text(entity, "unless", scope), where):
            return
        actions = {
            "arg": self._arg,
            "let": self._let,
            "group": self._group,
            "push_ros_namespace": self._push_namespace,
            "push-ros-namespace": self._push_namespace,
            "set_env": self._set_env,
            "unset_env": self._unset_env,
            "include": self._include,
            "executable": self._executable,
            "node": self._node,
        }
        actions[entity.tag](entity, scope)

    @staticmethod
    def _text(entity: Entity, name: str, scope: Scope, default: str = "") -> str:
        value: Any = entity.attributes.get(name, default)
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return substitute(text, scope, str(entity))

    def _arg(self, entity: Entity, scope: Scope) -> None:
        name = self._text(entity, "name", scope)
        choices = tuple(self._text(choice, "value", scope) for choice in entity.parts("choice"))
        default = self._text(entity, "default", scope) if "default" in entity.attributes else None
        self.plan.arguments[name] = LaunchArgument(name, default, self._text(entity, "description", scope), choices)
        if name not in scope.variables:
            if default is None:
                raise LaunchFileError(f"{entity} has no default: give it on the command line, {name}:=VALUE")
            scope.variables[name] = default
        if choices and scope.variables[name] not in choices:
            raise UnknownNameError(f"value of launch argument {name}", scope.variables[name], choices, str(entity.file))

    def _let(self, entity: Entity, scope: Scope) -> None:
        scope.variables[self._text(entity, "name", scope)] = self._text(entity, "value", scope)

    def _group(self, entity: Entity, scope: Scope) -> None:
        inner = copy.deepcopy(scope) if truth(self._text(entity, "scoped", scope, "true"), str(entity)) else scope
        for child in entity.children:
            self._entity(child, inner)

    def _push_namespace(self, entity: Entity, scope: Scope) -> None:
        scope.namespace = joined(scope.namespace, self._text(entity, "namespace", scope))

    def _set_env(self, entity: Entity, scope: Scope) -> None:
        scope.environment[self._text(entity, "name", scope)] = self._text(entity, "value", scope)

    def _unset_env(self, entity: Entity, scope: Scope) -> None:
        scope.environment.pop(self._text(entity, "name", scope), None)

    def _include(self, entity: Entity, scope: Scope) -> None:
        path = Path(self._text(entity, "file", scope))
        if not path.is_absolute():
            raise LaunchFileError(f"{entity}: '{path}' depends on the working folder; write $(dirname)/{path}")
        for part in entity.parts("arg"):
            scope.variables[self._text(part, "name", scope)] = self._text(part, "value", scope)
        self.file(path, scope)

    def _executable(self, entity: Entity, scope: Scope) -> None:
        command = self._words(entity, "cmd", scope)
        if not command:
            raise LaunchFileError(f"{entity}: cmd is empty")
        name = self._text(entity, "name", scope) or Path(command[0]).name
        self._process(entity, scope, name, command)

    def _node(self, entity: Entity, scope: Scope) -> None:
        package, program = self._text(entity, "pkg", scope), self._text(entity, "exec", scope)
        name = self._text(entity, "name", scope)
        command = [str(packages.executable(package, program, scope.environment)), *self._words(entity, "args", scope)]
        command.append("--ros-args")
        if name:
            command += ["-r", f"__node:={name}"]
        if namespace := joined(scope.namespace, self._text(entity, "namespace", scope)):
            command += ["-r", f"__ns:={namespace}"]
        for part in entity.parts("remap"):
            command += ["-r", f"{self._text(part, 'from', scope)}:={self._text(part, 'to', scope)}"]
        label = self._label(name or program)
        for file in parameter_files(entity.parts("param"), scope, self._folder / f"{label}"):
            command += ["--params-file", str(file)]
        command += self._words(entity, "ros_args", scope)
        self._process(entity, scope, name or program, command)

    def _words(self, entity: Entity, name: str, scope: Scope) -> list[str]:
        text = str(entity.attributes.get(name, ""))
        return [substitute(word, scope, str(entity)) for word in words(text, str(entity))]

    def _process(self, entity: Entity, scope: Scope, name: str, command: list[str]) -> None:
        where = str(entity)
        output = self._text(entity, "output", scope, OUTPUTS[0])
        if output not in OUTPUTS:
            raise UnknownNameError("output", output, OUTPUTS, where)
        on_exit = self._text(entity, "on_exit", scope)
        if on_exit not in ("", "shutdown"):
            raise UnknownNameError("on_exit", on_exit, ["shutdown"], where)
        environment = dict(scope.environment)
        for part in entity.parts("env"):
            environment[self._text(part, "name", scope)] = self._text(part, "value", scope)
        self.plan.processes.append(
            ProcessSpec(
                name=self._label(name),
                command=tuple(command),
                environment=environment,
                cwd=self._text(entity, "cwd", scope) or None,
                respawn=truth(self._text(entity, "respawn", scope, "false"), where),
                respawn_delay_s=self._seconds(entity, scope),
                ends_all=on_exit == "shutdown",
            )
        )

    def _seconds(self, entity: Entity, scope: Scope) -> float:
        text = self._text(entity, "respawn_delay", scope, "0")
        try:
            seconds = float(text)
        except ValueError:
            seconds = -1.0
        if not 0.0 <= seconds < float("inf"):
            raise LaunchFileError(f"{entity}: respawn_delay is '{text}'; legal: seconds, 0 or more")
        return seconds

    def _label(self, name: str) -> str:
        taken = {process.name for process in self.plan.processes}
        number, label = 2, name
        while label in taken:
            label, number = f"{name}-{number}", number + 1
        return label


def joined(outer: str, inner: str) -> str:
    """A namespace inside another; one that begins with "/" stands for itself."""
    if inner.startswith("/"):
        return inner.rstrip("/")
    return f"{outer}/{inner.strip('/')}" if inner.strip("/") else outer
