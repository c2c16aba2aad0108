"""The launch runner, with plain programs: what it says, how it ends, and that nothing is left behind."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tutelage.launch.runner import LaunchRunner, LaunchSettings
from tutelage_core.errors import ConfigurationError

pytestmark = pytest.mark.unit

QUICK = LaunchSettings(interrupt_grace_s=0.4, terminate_grace_s=0.4)
LIMIT_S = 20.0


class Launch:
    """A runner over a file made of executables, with its output."""

    def __init__(self, folder: Path, *items: str) -> None:
        self.path = folder / "file.launch.yaml"
        self.path.write_text("launch:\n" + "\n".join(f"- executable: {item}" for item in items), encoding="utf-8")
        self.output = io.StringIO()
        self.runner = LaunchRunner(QUICK, {"PATH": os.environ["PATH"]}, self.output)

    def start(self) -> LaunchRunner:
        self.runner.start(self.path)
        return self.runner

    def expect(self, text: str) -> None:
        """Waits until the output holds a text."""
        limit = time.monotonic() + LIMIT_S
        while text not in self.output.getvalue():
            assert time.monotonic() < limit, f"{text!r} did not come; output:\n{self.output.getvalue()}"
            time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process runs (one that has ended but is not yet collected does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pid: int) -> bool:
    limit = time.monotonic() + LIMIT_S
    while alive(pid) and time.monotonic() < limit:
        time.sleep(0.01)
    return not alive(pid)


def test_lines_carry_the_name_of_their_process(tmp_path: Path) -> None:
    launch = Launch(tmp_path, "{cmd: echo hello, name: greeter}", "{cmd: echo again, name: greeter}")
    assert launch.start().wait(LIMIT_S) == 0
    assert "[greeter] hello\n" in launch.output.getvalue()
    assert "[greeter-2] again\n" in launch.output.getvalue()


def test_launch_fails_when_one_process_fails(tmp_path: Path) -> None:
    launch = Launch(tmp_path, "{cmd: sh -c 'exit 3', name: bad}", "{cmd: 'true', name: good}")
    assert launch.start().wait(LIMIT_S) == 1
    assert "bad died: exit code 3" in launch.output.getvalue()


def test_death_is_said_while_the_others_run(tmp_path: Path) -> None:
    launch = Launch(tmp_path, "{cmd: sh -c 'kill -SEGV $$', name: bad}", "{cmd: sleep 60, name: good}")
    with launch.start() as runner:
        launch.expect("bad died: signal SIGSEGV")
        assert runner.processes["good"].returncode is None


def test_process_that_ends_all_ends_the_others(tmp_path: Path) -> None:
    launch = Launch(tmp_path, "{cmd: sleep 60, name: other}", "{cmd: 'true', name: main, on_exit: shutdown}")
    runner = launch.start()
    assert runner.wait(LIMIT_S) == 0
    assert runner.processes["other"].returncode == -signal.SIGINT


def test_shutdown_by_interrupt_is_a_good_end(tmp_path: Path) -> None:
    runner = Launch(tmp_path, "{cmd: sleep 60}").start()
    assert runner.wait(0.1) is None
    assert runner.shutdown() == 0


def test_process_that_ignores_signals_is_killed(tmp_path: Path) -> None:
    stubborn = "{cmd: \"sh -c 'trap : INT TERM; echo set; while :; do sleep 0.05; done'\", name: stubborn}"
    launch = Launch(tmp_path, stubborn)
    runner = launch.start()
    launch.expect("[stubborn] set")
    assert runner.shutdown() == 1
    assert runner.processes["stubborn"].returncode == -signal.SIGKILL
    assert "stubborn; sending SIGKILL" in launch.output.getvalue()


def test_nothing_that_a_process_started_outlives_it(tmp_path: Path) -> None:
    launch = Launch(tmp_path, "{cmd: \"sh -c 'sleep 60 & echo child $!; sleep 0.2'\", name: parent}")
    runner = launch.start()
    launch.expect("[parent] child ")
    child = int(launch.output.getvalue().split("[parent] child ")[1].split()[0])
    assert alive(child)
    assert runner.wait(LIMIT_S) == 0
    assert gone(child)


def test_respawn_starts_a_process_again(tmp_path: Path) -> None:
    launch = Launch(tmp_path, "{cmd: sh -c 'echo pid $$', name: phoenix, respawn: true, respawn_delay: 0.05}")
    with launch.start():
        limit = time.monotonic() + LIMIT_S
        while launch.output.getvalue().count("[phoenix] pid") < 3 and time.monotonic() < limit:
            time.sleep(0.01)
    pids = {line for line in launch.output.getvalue().splitlines() if line.startswith("[phoenix] pid")}
    assert len(pids) >= 3


def test_missing_program_is_refused_and_what_had_started_is_ended(tmp_path: Path) -> None:
    launch = Launch(tmp_path, "{cmd: sleep 60, name: first}", "{cmd: no_such_program --x}")
    with pytest.raises(ConfigurationError, match="cannot start no_such_program"):
        launch.start()
    assert gone(launch.runner.processes["first"].pid)


class Pieces(io.StringIO):
    """Keeps what was written, write by write."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def write(self, text: str, /) -> int:
        self.pieces.append(text)
        return super().write(text)


def test_each_line_is_written_in_one_piece_so_that_none_is_torn_by_another(tmp_path: Path) -> None:
    path = tmp_path / "file.launch.yaml"
    path.write_text("launch: [{executable: {cmd: \"sh -c 'echo one; echo two'\", name: child}}]", encoding="utf-8")
    stream = Pieces()
    with LaunchRunner(stream=stream) as runner:
        runner.start(path)
        assert runner.wait(LIMIT_S) == 0
    assert "[child] one\n" in stream.pieces
    assert all(piece.endswith("\n") and piece.count("\n") == 1 for piece in stream.pieces)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_to_the_command_ends_its_children(number: signal.Signals, tmp_path: Path) -> None:
    path = tmp_path / "file.launch.yaml"
    path.write_text(
        "launch: [{executable: {cmd: \"sh -c 'echo pid $$; exec sleep 60'\", name: child}}]", encoding="utf-8"
    )
    command = [sys.executable, "-m", "tutelage.launch", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        said: list[str] = []
        while not said or not said[-1].startswith("[child] pid"):
            line = process.stdout.readline()
            assert line, f"the runner ended early: {said}"
            said.append(line)
        process.send_signal(number)
        assert process.wait(LIMIT_S) == 0
    assert gone(int(said[-1].split()[-1]))


def test_command_refuses_a_missing_file_in_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tutelage.launch", "no.yaml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert (
        done.stderr.strip()
        == f"launch: no launch file {Path.cwd() / 'no.yaml'}; name a file that ends in .yaml or .xml"
    )
