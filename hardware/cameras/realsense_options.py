"""Settings of the RealSense driver, as a contract's `options` give them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tutelage_core.errors import ConfigurationError


@dataclass(frozen=True)
class RealSenseOptions:
    """Options of a RealSense camera.

    Attributes:
        serial: number on the device's label; may be empty where one device is attached.
        file: a recording to play instead of a device.
        loop: whether a recording begins again at its end.
        width, height: size of the colour and depth pictures that the device is asked for [px].
        depth: whether to measure depth too.
        colour_options: librealsense's options of the colour sensor, in its own units, such as {exposure: 156}.
        depth_options: the same of the depth sensor, such as {emitter_enabled: 1, laser_power: 150}.
        warm_up_frames: pictures that are dropped after a start, until exposure has settled.
        frozen_frames: so many pictures of the same content in a row are a frozen camera; 0 for none.
    """

    serial: str = ""
    file: str = ""
    loop: bool = True
    width: int = 640
    height: int = 480
    depth: bool = False
    colour_options: Mapping[str, float] = field(default_factory=dict)
    depth_options: Mapping[str, float] = field(default_factory=dict)
    warm_up_frames: int = 15
    frozen_frames: int = 10

    def __post_init__(self) -> None:
        """Refuse what no device can be asked for."""
        if self.serial and self.file:
            raise ConfigurationError(f"give the serial of a device or a file, not both: {self.serial}, {self.file}")
        if self.width < 1 or self.height < 1 or self.warm_up_frames < 0:
            raise ConfigurationError(
                "width and height must be at least 1 and warm_up_frames at least 0, got "
                f"{self.width}x{self.height} and {self.warm_up_frames}"
            )
        if self.depth_options and not self.depth:
            raise ConfigurationError("depth_options need depth: true")
        if self.file and (self.colour_options or self.depth_options):
            raise ConfigurationError(f"a recording was made with its options, they cannot be changed now: {self.file}")
