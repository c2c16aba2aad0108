"""Connects an arm whose controller may still be starting."""

from __future__ import annotations

import time

from rclpy.impl.rcutils_logger import RcutilsLogger

from hardware.arm import Arm
from tutelage_core.errors import ArmError

PAUSE_S = 0.5
"""Between two tries [s]."""


def connect_patiently(arm: Arm, patience_s: float, logger: RcutilsLogger) -> None:
    """Connect `arm`, trying again for `patience_s` [s, steady].

    Raises:
        ArmError: it did not connect until then; what the last try said.
    """
    end_s = time.monotonic() + patience_s
    while True:
        try:
            arm.connect()
            return
        except ArmError as error:
            left_s = end_s - time.monotonic()
            if left_s <= 0.0:
                raise
            logger.warning(f"the arm is not connected: {error}; trying for {left_s:.0f} s more")
        time.sleep(PAUSE_S)
