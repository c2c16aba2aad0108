"""Where installed ROS packages are: the ament index, read without ROS."""

import os
from collections.abc import Mapping
from pathlib import Path

from tutelage_core.errors import UnknownNameError

INDEX = Path("share") / "ament_index" / "resource_index" / "packages"


def prefixes(environment: Mapping[str, str]) -> list[Path]:
    """Install prefixes, the first one found wins."""
    return [Path(part) for part in environment.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if part]


def package_prefix(package: str, environment: Mapping[str, str]) -> Path:
    """The prefix that a package is installed in.

    Raises:
        UnknownNameError: it is in none; the message lists the packages that are.
    """
    folders = prefixes(environment)
    for folder in folders:
        if (folder / INDEX / package).is_file():
            return folder
    installed = {path.name for folder in folders if (folder / INDEX).is_dir() for path in (folder / INDEX).iterdir()}
    raise UnknownNameError("package", package, installed, "AMENT_PREFIX_PATH (run `make setup` to build the workspace)")


def package_share(package: str, environment: Mapping[str, str]) -> Path:
    """The package's folder of launch files, parameters and the like."""
    return package_prefix(package, environment) / "share" / package


def executable(package: str, name: str, environment: Mapping[str, str]) -> Path:
    """A program of a package.

    Raises:
        UnknownNameError: the package has no such program; the message lists those it has.
    """
    folder = package_prefix(package, environment) / "lib" / package
    path = folder / name
    if path.is_file() and os.access(path, os.X_OK):
        return path
    present = [file.name for file in folder.iterdir() if os.access(file, os.X_OK)] if folder.is_dir() else []
    raise UnknownNameError("executable", name, present, f"package {package}")
