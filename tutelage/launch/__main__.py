"""`python -m tutelage.launch FILE_OR_PACKAGE [NAME] [key:=value ...]`: runs a launch file until it ends or Ctrl-C."""

import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tutelage.environment import graph_environment
from tutelage.launch import packages
from tutelage.launch.plan import LaunchArgument, make_plan
from tutelage.launch.runner import LaunchRunner
from tutelage.launch.tree import LaunchFileError
from tutelage_core.errors import TutelageError

USAGE = "usage: python -m tutelage.launch FILE | PACKAGE NAME [--show-args] [key:=value ...]"


def find_file(names: Sequence[str]) -> Path:
    """The launch file that the command line names: a path, or a package and a name in its launch folder.

    Raises:
        ConfigurationError: there is no such file; the message lists what there is.
    """
    if len(names) == 1:
        return Path(names[0])
    if len(names) != 2:
        raise LaunchFileError(USAGE)
    folder = packages.package_share(names[0], graph_environment()) / "launch"
    path = folder / names[1]
    if not path.is_file():
        present = ", ".join(sorted(file.name for file in folder.glob("*.*"))) or "none"
        raise LaunchFileError(f"package {names[0]} has no launch file '{names[1]}'; legal: {present}")
    return path


def run(path: Path, arguments: dict[str, str]) -> int:
    """Runs a launch file in the foreground.

    Args:
        path: the launch file.
        arguments: values for its arguments.

    Returns:
        0 when every process ended well, else 1. SIGINT and SIGTERM end it in order.
    """
    with LaunchRunner() as runner:
        before = {number: signal.signal(number, lambda *_: runner.request_stop()) for number in SIGNALS}
        try:
            runner.start(path, arguments)
            return runner.wait() or 0
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


SIGNALS = (signal.SIGINT, signal.SIGTERM)


def describe(arguments: dict[str, LaunchArgument]) -> str:
    """The arguments of a launch file, one a line."""
    lines = []
    for argument in arguments.values():
        default = "required" if argument.default is None else f"default '{argument.default}'"
        choices = f", one of {', '.join(argument.choices)}" if argument.choices else ""
        lines.append(f"  {argument.name}:= {argument.description or ''} ({default}{choices})")
    return "\n".join(lines) or "  no arguments"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs what the command line names."""
    line = list(sys.argv[1:] if argv is None else argv)
    names = [word for word in line if ":=" not in word and not word.startswith("-")]
    flags = [word for word in line if word.startswith("-")]
    arguments = dict(word.split(":=", 1) for word in line if ":=" in word and not word.startswith("-"))
    if flags not in ([], ["--show-args"]) or not names:
        print(USAGE, file=sys.stderr)
        return 2
    try:
        path = find_file(names)
        if flags:
            with tempfile.TemporaryDirectory() as folder:
                print(describe(make_plan(path, arguments, graph_environment(), Path(folder)).arguments))
            return 0
        return run(path, arguments)
    except TutelageError as error:
        print(f"launch: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
