"""Parameters of a room: declared once with their legal range, drawn from a generator, checked and printed.

A part of a room is a frozen dataclass whose fields are declared with `span`, `spread` or `choice`. The declaration says
what each split may draw. `train` and `test` never share a value of a field that is declared with bands.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args

import numpy as np

from tutelage_core.errors import ConfigurationError, UnknownNameError

Split = Literal["lab", "train", "test", "held_out"]

SPLITS: tuple[str, ...] = get_args(Split)
"""`lab` is one known place; `train` and `test` are rooms of the same kind; `held_out` has kinds of its own."""

Part = TypeVar("Part")
Value = float | int | str

_KEY = "parameter"


@dataclass(frozen=True)
class Span:
    """A number drawn evenly between `low` and `high`, both legal; whole numbers if `whole`.

    Attributes:
        low: smallest legal value.
        high: largest legal value.
        unit: its unit.
        lab: what the lab draws from; one number is a fixed value.
        bands: cut the range into so many bands, of which train has the even and test the odd ones; 0 does not cut.
        whole: draw integers.
    """

    low: float
    high: float
    unit: str
    lab: tuple[float, float]
    bands: int
    whole: bool

    def draw(self, rng: np.random.Generator, split: str) -> Value:
        """Return a value for a room of `split`."""
        low, high = self.lab if split == "lab" else (self.low, self.high)
        if self.whole:
            return int(rng.integers(int(low), int(high) + 1))
        place = float(rng.uniform())
        if self.bands and split in ("train", "test"):
            band = 2 * min(int(place * self.bands / 2), self.bands // 2 - 1) + (split == "test")
            place = (band + float(rng.uniform(0.05, 0.95))) / self.bands
        return low + (high - low) * place

    def fits(self, value: object) -> bool:
        """Tell whether `value` is legal."""
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            return False
        return self.low <= value <= self.high

    def legal(self) -> str:
        """Return the legal values in words."""
        return f"{self.low:g} to {self.high:g} {self.unit}".strip()


@dataclass(frozen=True)
class Spread:
    """A number drawn from a normal distribution about `mean`, cut at three standard deviations.

    The lab has a deviation of its own, no larger.
    """

    mean: float
    deviation: float
    unit: str
    lab: float

    def draw(self, rng: np.random.Generator, split: str) -> Value:
        """Return a value for a room of `split`."""
        deviation = self.lab if split == "lab" else self.deviation
        return self.mean + deviation * float(np.clip(rng.normal(), -3.0, 3.0))

    def fits(self, value: object) -> bool:
        """Tell whether `value` is within three standard deviations."""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return abs(value - self.mean) <= 3.0 * self.deviation * (1.0 + 1e-9)

    def legal(self) -> str:
        """Return the legal values in words."""
        reach = 3.0 * self.deviation
        return f"{self.mean - reach:g} to {self.mean + reach:g} {self.unit}".strip()


@dataclass(frozen=True)
class Choice:
    """One of several kinds; `held_out` has kinds that occur in no other split, where it names any."""

    common: tuple[str, ...]
    held_out: tuple[str, ...]
    lab: tuple[str, ...]

    def draw(self, rng: np.random.Generator, split: str) -> Value:
        """Return a kind for a room of `split`."""
        kinds = {"lab": self.lab, "held_out": self.held_out}.get(split, self.common)
        return kinds[int(rng.integers(len(kinds)))]

    def fits(self, value: object) -> bool:
        """Tell whether `value` is a kind of any split."""
        return value in (*self.common, *self.held_out, *self.lab)

    def legal(self) -> str:
        """Return the legal values in words."""
        return ", ".join(dict.fromkeys((*self.common, *self.held_out, *self.lab)))


Declaration = Span | Spread | Choice


def span(
    low: float, high: float, unit: str = "", *, lab: float | tuple[float, float] | None = None, bands: int = 0
) -> Any:
    """Declare a number between `low` and `high`. The lab draws likewise, or has the value or range `lab`."""
    if bands % 2:
        raise ConfigurationError(f"bands must be even, half for train and half for test, got {bands}")
    return field(metadata={_KEY: Span(low, high, unit, _pair(lab, low, high), bands, whole=False)})


def whole(low: int, high: int, *, lab: int | tuple[int, int] | None = None) -> Any:
    """Declare an integer between `low` and `high`, both included."""
    return field(metadata={_KEY: Span(low, high, "", _pair(lab, low, high), 0, whole=True)})


def spread(mean: float, deviation: float, unit: str = "", *, lab: float | None = None) -> Any:
    """Declare a number that is normally distributed about `mean`; the lab may have a smaller deviation."""
    return field(metadata={_KEY: Spread(mean, deviation, unit, deviation if lab is None else min(lab, deviation))})


def choice(*common: str, held_out: tuple[str, ...] = (), lab: str | None = None) -> Any:
    """Declare a kind. `held_out` names the kinds of that split; without any it has the common ones."""
    return field(metadata={_KEY: Choice(common, held_out or common, common if lab is None else (lab,))})


def part_name(part: type) -> str:
    """Return how a part is called in parameter names: `FrontCamera` is `front_camera`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", part.__name__).lower()


def declarations(part: type) -> dict[str, Declaration]:
    """Return the declarations of a part's fields by full name, such as `table.height_m`."""
    fields = dataclasses.fields(part)
    return {f"{part_name(part)}.{f.name}": f.metadata[_KEY] for f in fields if _KEY in f.metadata}


def draw_part(part: type[Part], rng: np.random.Generator, split: str, given: Mapping[str, Value]) -> Part:
    """Draw a part; a value that is given by its full name replaces the drawn one and changes no other.

    Raises:
        ConfigurationError: a given value is out of range.
    """
    values: dict[str, Value] = {}
    for name, declared in declarations(part).items():
        drawn = declared.draw(rng, split)
        value = given.get(name, drawn)
        if not declared.fits(value):
            raise ConfigurationError(f"room parameter {name} = {value!r}; legal: {declared.legal()}")
        values[name.rpartition(".")[2]] = value
    return part(**values)


def check_names(names: Mapping[str, Value], parts: tuple[type, ...]) -> None:
    """Refuse parameter names that none of `parts` has.

    Raises:
        UnknownNameError: with the legal names.
    """
    legal = [name for part in parts for name in declarations(part)]
    for name in names:
        if name not in legal:
            raise UnknownNameError("room parameter", name, legal)


def _pair(lab: float | tuple[float, float] | None, low: float, high: float) -> tuple[float, float]:
    if lab is None:
        return low, high
    return lab if isinstance(lab, tuple) else (lab, lab)
