"""Refuses settings that are out of bounds."""

from __future__ import annotations

import math

from tutelage_core.errors import ConfigurationError


def check_bounds(settings: object, low: float, high: float, *names: str) -> None:
    """Refuse a number that does not lie in `low`..`high`, both legal; NaN never does.

    Args:
        settings: has the numbers as attributes.
        low: smallest legal value.
        high: largest legal value, may be infinite; the number itself must be finite.
        names: of the attributes.

    Raises:
        ConfigurationError: one is out of bounds.
    """
    for name in names:
        value = getattr(settings, name)
        if not (math.isfinite(value) and low <= value <= high):
            raise ConfigurationError(
                f"{type(settings).__name__}.{name} must be finite and in {low:g}..{high:g}, got {value}"
            )
