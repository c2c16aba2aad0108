"""Packages of the operating system that the project needs, and how they get there."""

import ctypes.util
import os
import shutil
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from stage import Log, StageError

PROGRAMS = {"g++": "g++", "cmake": "cmake", "make": "make"}
LIBRARIES = {"OSMesa": "libosmesa6", "usb-1.0": "libusb-1.0-0"}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
"""Programs of which one is wanted: the page's tests look at it in a real browser, and are skipped without one."""


def missing_packages() -> list[str]:
    """Debian packages for what this machine lacks; empty when nothing is missing."""
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    missing += [package for library, package in LIBRARIES.items() if ctypes.util.find_library(library) is None]
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file():
        missing.append(f"python{version}-dev")
    try:
        import ensurepip  # noqa: F401, PLC0415  Debian takes it out of the standard library
    except ImportError:
        missing.append(f"python{version}-venv")
    return missing


def wanted_packages() -> list[str]:
    """Debian packages that setup can do without."""
    return [] if any(shutil.which(browser) for browser in BROWSERS) else [BROWSERS[0]]


def install(packages: Iterable[str], log: Log) -> None:
    """Installs Debian packages when that needs no password.

    Args:
        packages: names for apt-get.
        log: takes its output.

    Raises:
        StageError: no apt-get, no rights, or the install failed; the message is the command for an administrator.
    """
    names = list(packages)
    by_hand = f"install these packages and run again: apt-get install -y --no-install-recommends {' '.join(names)}"
    if shutil.which("apt-get") is None:
        raise StageError(f"this system has no apt-get; {by_hand} (or what this system calls them)")
    prefix: list[str] = []
    if os.geteuid() != 0:
        if shutil.which("sudo") is None or not log.attempt(["sudo", "-n", "true"]):
            raise StageError(f"no rights to install system packages; {by_hand}")
        prefix = ["sudo", "-n", "env", "DEBIAN_FRONTEND=noninteractive"]
    command = [*prefix, "apt-get", "install", "-y", "--no-install-recommends", *names]
    if log.attempt(command, DEBIAN_FRONTEND="noninteractive"):
        return
    log.attempt([*prefix, "apt-get", "update"])
    if not log.attempt(command, DEBIAN_FRONTEND="noninteractive"):
        raise StageError(f"apt-get failed ({log.last_line()}); {by_hand}")
