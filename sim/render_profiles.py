"""How much the renderer does: names for what is worth its time and what is not. None of it touches the state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tutelage_core.errors import UnknownNameError


@dataclass(frozen=True)
class RenderProfile:
    """What a picture costs.

    Attributes:
        shadow_px: side of the shadow map, 0 for none; with shadows all is drawn once more for the lamp [px].
        samples: samples a pixel against jagged edges, 0 for one.
    """

    shadow_px: int
    samples: int


RENDER_PROFILES: Mapping[str, RenderProfile] = {
    "fast": RenderProfile(shadow_px=0, samples=0),
    "pretty": RenderProfile(shadow_px=1024, samples=4),
}


def render_profile(name: str) -> RenderProfile:
    """Return the profile `name`.

    Raises:
        UnknownNameError: there is no such profile; the legal names are listed.
    """
    if name not in RENDER_PROFILES:
        raise UnknownNameError("render profile", name, RENDER_PROFILES)
    return RENDER_PROFILES[name]
