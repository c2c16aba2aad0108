"""The states that a gamepad goes through, by pygame: SDL's table gives every known pad the same layout."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from typing import Any

from tutelage_core.errors import ConfigurationError

STICKS = ("left_x", "left_y", "right_x", "right_y")

_SETTINGS = {
    "SDL_VIDEODRIVER": "dummy",  # no window, so no display either
    "SDL_JOYSTICK_ALLOW_BACKGROUND_EVENTS": "1",
    "PYGAME_HIDE_SUPPORT_PROMPT": "1",
}
_AXES = {f"CONTROLLER_AXIS_{name}": n for n, name in enumerate(("LEFTX", "LEFTY", "RIGHTX", "RIGHTY"))}
_BUTTONS = {
    "CONTROLLER_BUTTON_A": "a",
    "CONTROLLER_BUTTON_B": "b",
    "CONTROLLER_BUTTON_X": "x",
    "CONTROLLER_BUTTON_Y": "y",
    "CONTROLLER_BUTTON_BACK": "back",
    "CONTROLLER_BUTTON_START": "start",
    "CONTROLLER_BUTTON_LEFTSHOULDER": "left_shoulder",
    "CONTROLLER_BUTTON_RIGHTSHOULDER": "right_shoulder",
}
_HALF_RANGE = 32768.0


@dataclass(frozen=True)
class PadReport:
    """State of a pad.

    Attributes:
        sticks: in the order of `STICKS`, shape (4,), each -1..1; to the right and down is positive.
        buttons: names of the pressed buttons.
    """

    sticks: tuple[float, ...]
    buttons: frozenset[str] = frozenset()


class PygamePad:
    """A `Source` of a pad's states. SDL has one queue of events for a program, so one pad at a time."""

    def __init__(self, number: int) -> None:
        """Open the pad with this number.

        Raises:
            ConfigurationError: pygame is missing.
            OSError: there is no such pad, or SDL does not know its layout.
        """
        for name, value in _SETTINGS.items():
            os.environ.setdefault(name, value)
        try:
            self._pygame: Any = importlib.import_module("pygame")
            self._controllers: Any = importlib.import_module("pygame._sdl2.controller")
        except ImportError as error:
            raise ConfigurationError(
                f"a gamepad needs the package pygame-ce: pip install pygame-ce ({error})"
            ) from error
        self._pygame.display.init()
        self._pygame.joystick.init()
        self._controllers.init()
        self._axes = {getattr(self._pygame, name): n for name, n in _AXES.items()}
        self._names = {getattr(self._pygame, name): button for name, button in _BUTTONS.items()}
        self._pad: Any = None
        try:
            self._open(number)
        except OSError:
            self.close()
            raise

    def _open(self, number: int) -> None:
        found: int = self._pygame.joystick.get_count()
        if number >= found:
            raise OSError(f"no gamepad number {number}: {found} found")
        if not self._controllers.is_controller(number):
            raise OSError(f"gamepad {number} has no layout that SDL knows; give it in SDL_GAMECONTROLLERCONFIG")
        self._pygame.event.clear()
        try:
            self._pad = self._controllers.Controller(number)
        except self._pygame.error as error:
            raise OSError(f"gamepad {number} cannot be opened: {error}") from error
        self._id: int = self._pad.as_joystick().get_instance_id()
        self._sticks = [0.0] * len(STICKS)
        for axis, stick in self._axes.items():
            self._sticks[stick] = self._pad.get_axis(axis) / _HALF_RANGE
        self._pressed = {name for button, name in self._names.items() if self._pad.get_button(button)}
        self._first: list[PadReport] = [self._state()]

    def poll(self, limit: int) -> list[PadReport]:
        """Return the states since the last call, at most `limit`, without waiting.

        Raises:
            OSError: the pad was unplugged.
        """
        pygame = self._pygame
        states, self._first = self._first, []
        for event in pygame.event.get():
            if getattr(event, "instance_id", None) != self._id:
                continue
            if event.type == pygame.CONTROLLERDEVICEREMOVED:
                raise OSError("it was unplugged")
            if event.type == pygame.CONTROLLERAXISMOTION and event.axis in self._axes:
                self._sticks[self._axes[event.axis]] = event.value / _HALF_RANGE
            elif event.type == pygame.CONTROLLERBUTTONDOWN and event.button in self._names:
                self._pressed.add(self._names[event.button])
            elif event.type == pygame.CONTROLLERBUTTONUP and event.button in self._names:
                self._pressed.discard(self._names[event.button])
            else:
                continue
            if len(states) < limit:
                states.append(self._state())
        if not self._pad.attached():
            raise OSError("it was unplugged")
        return states

    def close(self) -> None:
        """Let go of the pad and of SDL."""
        if self._pad is not None:
            self._pad.quit()
            self._pad = None
        self._controllers.quit()
        self._pygame.joystick.quit()
        self._pygame.display.quit()

    def _state(self) -> PadReport:
        return PadReport(tuple(self._sticks), frozenset(self._pressed))
