"""One stage of the set-up: done once, and again only when something that it depends on changed."""

import hashlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


class StageError(Exception):
    """A stage that could not be done; the message is one line that says what to do."""


@dataclass(frozen=True)
class Stage:
    """What to do, and what it depends on.

    Attributes:
        name: one word; names the stamp and the log.
        purpose: what the user reads while it runs.
        run: does the work; writes to the log through its argument.
        inputs: gives the text that the result depends on; the stage is done again when it changes.
        outputs: paths that exist when the stage is done; a missing one makes it run again.
    """

    name: str
    purpose: str
    run: Callable[["Log"], None]
    inputs: Callable[[], Iterable[str]]
    outputs: tuple[Path, ...] = field(default=())


class Log:
    """Output of the commands of one stage, kept in a file."""

    def __init__(self, path: Path, environment: Mapping[str, str], folder: Path) -> None:
        """Empties the file; commands run in `folder` with `environment`."""
        self.path = path
        self._environment = dict(environment)
        self._folder = folder
        path.write_text("", encoding="utf-8")

    def write(self, text: str) -> None:
        """Adds a line."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text + "\n")

    def attempt(self, command: list[str], folder: Path | None = None, **environment: str) -> bool:
        """Runs a command, its output into the file.

        Args:
            command: program and arguments.
            folder: working folder, the project's by default.
            environment: variables added to the scrubbed environment.

        Returns:
            Whether it ended with 0.
        """
        self.write("$ " + " ".join(command))
        with self.path.open("a", encoding="utf-8") as file:
            done = subprocess.run(
                command,
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=folder or self._folder,
                env={**self._environment, **environment},
                check=False,
            )
        return done.returncode == 0

    def call(self, command: list[str], folder: Path | None = None, **environment: str) -> None:
        """Like `attempt`, but a command that fails ends the stage.

        Raises:
            StageError: the command ended with another code than 0.
        """
        if not self.attempt(command, folder, **environment):
            raise StageError(f"`{' '.join(command[:4])}` failed: {self.last_line()}")

    def last_line(self) -> str:
        """The last line that says something."""
        lines = [line.strip() for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines()]
        telling = [line for line in lines if line and not line.startswith(("$ ", "WARNING", "[notice]"))]
        return telling[-1][:300] if telling else "no output"


def digest(parts: Iterable[str]) -> str:
    """One hash for all parts, boundaries included."""
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part.encode()).digest())
    return total.hexdigest()


def run_stages(stages: Iterable[Stage], folder: Path, make_log: Callable[[Path], Log]) -> int:
    """Does every stage whose stamp does not fit, in order.

    Args:
        stages: in the order in which they depend on each other.
        folder: where stamps and logs go.
        make_log: opens the log of a stage.

    Returns:
        0, or 1 after the first stage that failed (the ones before it stay done).
    """
    begin = time.monotonic()
    for stage in stages:
        stamp = folder / f"{stage.name}.stamp"
        key = digest(stage.inputs())
        fits = stamp.is_file() and stamp.read_text(encoding="utf-8") == key
        if fits and all(path.exists() for path in stage.outputs):
            continue
        stamp.unlink(missing_ok=True)
        log = make_log(folder / f"{stage.name}.log")
        print(f"setup: [{time.monotonic() - begin:5.1f} s] {stage.purpose} ...", flush=True)
        try:
            stage.run(log)
        except (StageError, OSError) as error:
            print(f"setup: stage '{stage.name}' failed: {error}", file=sys.stderr)
            print(f"setup: log: {log.path}; run the same command again to go on from here", file=sys.stderr)
            return 1
        partial = stamp.with_suffix(".partial")
        partial.write_text(key, encoding="utf-8")
        partial.replace(stamp)
    print(f"setup: ready after {time.monotonic() - begin:.1f} s", flush=True)
    return 0
