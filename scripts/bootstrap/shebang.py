"""First lines of installed programs, for folders that the kernel cannot take in one."""

from pathlib import Path

LONGEST = 127
"""What the kernel reads of a first line, in bytes."""


def repair(folder: Path, python: str) -> int:
    """Rewrites the first line of the Python programs in a folder where the kernel would not understand it.

    A blank in the interpreter's path, or a long path, cannot stand in a `#!` line; a shell then starts the interpreter,
    and Python reads the shell's line as a string.

    Args:
        folder: installed programs.
        python: path of the interpreter.

    Returns:
        Number of programs rewritten.
    """
    if " " not in python and len(python) + 2 < LONGEST:
        return 0
    changed = 0
    for path in sorted(folder.iterdir()):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        if lines and lines[0].startswith("#!") and python in lines[0]:
            start = f"#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\n"
            path.write_text(start + "".join(lines[1:]), encoding="utf-8")
            changed += 1
    return changed
