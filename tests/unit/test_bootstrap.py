"""The set-up's machinery: stages run once, resume after a failure, and say what failed."""

import subprocess
import sys
from pathlib import Path

import pytest

BOOTSTRAP = Path(__file__).resolve().parents[2] / "scripts" / "bootstrap"
sys.path.append(str(BOOTSTRAP))

import ros_prefix  # noqa: E402
import shebang  # noqa: E402
from stage import Log, Stage, StageError, run_stages  # noqa: E402

pytestmark = pytest.mark.unit


class Recorder:
    """Stages that write down when they ran."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ran: list[str] = []
        self.inputs = {"first": "1", "second": "1"}
        self.fails: set[str] = set()

    def stage(self, name: str) -> Stage:
        def work(log: Log) -> None:
            self.ran.append(name)
            if name in self.fails:
                log.call([sys.executable, "-c", "print('a reason'); raise SystemExit(2)"])

        return Stage(name, name, work, lambda: [self.inputs[name]])

    def run(self) -> int:
        self.ran.clear()
        stages = [self.stage("first"), self.stage("second")]
        return run_stages(stages, self.folder, lambda path: Log(path, {}, self.folder))


def test_second_run_does_nothing(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    assert recorder.run() == 0
    assert recorder.ran == ["first", "second"]
    assert recorder.run() == 0
    assert recorder.ran == []


def test_stage_runs_again_when_its_input_changed(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.run()
    recorder.inputs["second"] = "2"
    recorder.run()
    assert recorder.ran == ["second"]


def test_run_after_a_failure_goes_on_where_it_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorder = Recorder(tmp_path)
    recorder.fails = {"second"}
    assert recorder.run() == 1
    said = capsys.readouterr().err
    assert "stage 'second' failed" in said
    assert "a reason" in said
    assert str(tmp_path / "second.log") in said
    recorder.fails = set()
    assert recorder.run() == 0
    assert recorder.ran == ["second"]


def test_stage_runs_again_when_its_output_is_gone(tmp_path: Path) -> None:
    made = tmp_path / "made"
    stage = Stage("make", "make", lambda _: made.touch(), lambda: ["same"], (made,))
    for _ in range(2):
        assert run_stages([stage], tmp_path, lambda path: Log(path, {}, tmp_path)) == 0
        assert made.exists()
        made.unlink()


def test_failed_command_names_itself(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", {}, tmp_path)
    with pytest.raises(StageError, match=r"failed: no output$"):
        log.call([sys.executable, "-c", "raise SystemExit(1)"])


def test_cmake_files_are_pointed_at_this_python(tmp_path: Path) -> None:
    (tmp_path / "share").mkdir()
    file = tmp_path / "share" / "targets.cmake"
    built = "/opt/python/cp311-cp311"
    file.write_text(f'"{built}/include/python3.11;{built}/lib/python3.11/site-packages/numpy/_core/include"', "utf-8")
    assert ros_prefix.relocate(tmp_path, "/py", "/np") == 1
    assert file.read_text("utf-8") == '"/py;/np"'
    assert ros_prefix.relocate(tmp_path, "/py", "/np") == 0


def test_program_starts_in_a_folder_with_a_blank(tmp_path: Path) -> None:
    python = tmp_path / "a folder" / "python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    program = tmp_path / "bin" / "program"
    program.parent.mkdir()
    program.write_text(f'#!"{python}"\nprint("started")\n', encoding="utf-8")
    program.chmod(0o755)
    assert shebang.repair(program.parent, str(python)) == 1
    assert subprocess.run([program], capture_output=True, text=True, check=True).stdout == "started\n"
