"""Errors that a user can act on: what failed, the value seen, the legal values, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TutelageError(Exception):
    """Base of every error that this project raises on purpose. A parallel process can hand one on."""

    def __reduce__(self) -> tuple[object, ...]:
        """Be copied by content: constructors take other arguments than the message that they make."""
        return _copied, (type(self), self.args, self.__dict__)


class ConfigurationError(TutelageError):
    """A setting is wrong; raised when it is read, never in motion."""


class UnknownNameError(ConfigurationError):
    """A name (robot, task, policy, camera, key ...) is not among the legal ones."""

    def __init__(self, kind: str, name: str, legal: Iterable[str], where: str = "") -> None:
        """Say which `kind` of thing `name` should have been, and list the `legal` names."""
        names = sorted(legal)
        near = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        place = f" in {where}" if where else ""
        super().__init__(f"unknown {kind} '{name}'{place}; legal: {', '.join(names) or '(none)'}.{hint}")
        self.kind = kind
        self.name = name
        self.legal = tuple(names)


class ContractMismatchError(ConfigurationError):
    """A policy or reward asks for something that the robot does not give."""

    def __init__(self, needs: str, gives: str, differences: Iterable[str]) -> None:
        """Name both sides (`needs`: the model, `gives`: the robot) and each difference."""
        self.differences = tuple(differences)
        lines = "\n  - ".join(self.differences)
        super().__init__(f"{needs} does not fit {gives}:\n  - {lines}")


def _copied(kind: type[TutelageError], args: tuple[object, ...], fields: dict[str, object]) -> TutelageError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(fields)
    return error


class CheckpointError(TutelageError):
    """A checkpoint folder is missing, incomplete or does not match its manifest."""


class EpisodeError(TutelageError):
    """An episode recording is missing, unfinished or unreadable."""


class ArmError(TutelageError):
    """An arm refused a connection or a command, or stopped."""


class CameraError(TutelageError):
    """A camera gave no frame, or a frame of the wrong shape."""
