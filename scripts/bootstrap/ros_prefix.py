"""Makes the ROS 2 wheels' CMake files usable: they name folders of the machine that built them."""

import re
import sys
import sysconfig
from pathlib import Path

BUILDER = r"/opt/python/cp\d+-cp\d+"  # where a manylinux builder keeps its interpreters
PYTHON_INCLUDE = re.compile(BUILDER + r"/include/python3\.\d+")
NUMPY_INCLUDE = re.compile(BUILDER + r"/lib/python3\.\d+/site-packages/numpy/_?core/include")


def relocate(prefix: Path, python_include: str, numpy_include: str) -> int:
    """Points every exported CMake file below `prefix` at this interpreter's headers.

    Args:
        prefix: environment that the wheels were unpacked into.
        python_include: folder that holds Python.h.
        numpy_include: folder that holds numpy/arrayobject.h.

    Returns:
        Number of files changed; 0 on a second run.
    """
    changed = 0
    for path in (prefix / "share").rglob("*.cmake"):
        before = path.read_text(encoding="utf-8", errors="surrogateescape")
        after = NUMPY_INCLUDE.sub(lambda _: numpy_include, before)
        after = PYTHON_INCLUDE.sub(lambda _: python_include, after)
        if after != before:
            path.write_text(after, encoding="utf-8", errors="surrogateescape")
            changed += 1
    return changed


def main() -> int:
    """Relocates the environment of the interpreter that runs this file."""
    import numpy  # noqa: PLC0415  this file is also imported by interpreters that have no numpy

    include = Path(sysconfig.get_paths()["include"])
    if not (include / "Python.h").is_file():
        print(f"no Python.h in {include}: install the development headers of this Python (python3-dev)")
        return 1
    changed = relocate(Path(sys.prefix), str(include), numpy.get_include())
    print(f"{changed} CMake files relocated to {include}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
