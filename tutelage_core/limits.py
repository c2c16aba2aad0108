"""The bounds that the SafetyGate holds, as a robot's contract gives them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tutelage_core.errors import ConfigurationError


@dataclass(frozen=True)
class SafetyLimits:
    """Bounds that the SafetyGate holds; every default is the safe one.

    Attributes:
        workspace_min_m, workspace_max_m: box that the TCP target stays in, base frame [m].
        max_step_m: longest translation of one step [m].
        max_step_rad: largest rotation of one step [rad].
        refuse_ratio: a step longer than this many times its limit is refused, a smaller excess is clamped.
        max_target_lead_m, max_target_lead_rad: how far the target may run ahead of the measured pose.
        max_command_age_s: older commands are refused.
        command_timeout_s: without a command for this long, the arm holds its measured pose.
        min_command_interval_s: commands whose stamps are closer than this are refused; with the step limit it bounds
            the speed that a sender can ask for.
        max_state_age_s: commands are refused when the arm's state is older than this.
        max_refusals_in_a_row: so many refusals in a row latch a fault.
        max_refusals_in_window: and so many within `refusal_window_s`.
        refusal_window_s: how far back they are counted.
        speed_profile: name of the speed profile, `hardware.safety.profiles`; anything but `reduced` is an opt-in.
        joint_margin_rad: how near a joint may come to its limit.
        min_clearance_m: how near arm, hand and cell may come to each other.
        deadman_timeout_s: an enabling key that is not heard of for so long counts as released.
        deadman_for_policy: whatever moves the arm by itself, too, may do so only while somebody holds the enabling key.
        braking_s: a hold is where the arm is in so long at its measured velocity: about the time that it takes to stop.
        max_contact_force_n: a force beyond this, felt for three states in a row (or twice as much felt once), stops the
            arm; 0 for none.
        clear_quiet_s: a stop can be cleared once nobody has asked for motion for so long.
        clear_distance_m: and if the arm is not further than this from where it was stopped.
    """

    workspace_min_m: tuple[float, float, float]
    workspace_max_m: tuple[float, float, float]
    max_step_m: float = 0.02
    max_step_rad: float = 0.15
    refuse_ratio: float = 3.0
    max_target_lead_m: float = 0.05
    max_target_lead_rad: float = 0.4
    max_command_age_s: float = 0.2
    command_timeout_s: float = 0.2
    min_command_interval_s: float = 0.04
    max_state_age_s: float = 0.25
    max_refusals_in_a_row: int = 3
    max_refusals_in_window: int = 10
    refusal_window_s: float = 10.0
    speed_profile: str = "reduced"
    joint_margin_rad: float = 0.05
    min_clearance_m: float = 0.01
    deadman_timeout_s: float = 0.2
    deadman_for_policy: bool = False
    braking_s: float = 0.05
    max_contact_force_n: float = 60.0
    clear_quiet_s: float = 0.5
    clear_distance_m: float = 0.02

    def __post_init__(self) -> None:
        """Refuse numbers that would switch a bound off or turn it round; NaN is one of them."""
        for low, high in zip(self.workspace_min_m, self.workspace_max_m, strict=True):
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ConfigurationError(
                    f"workspace_min_m {self.workspace_min_m} must be finite and lie below "
                    f"workspace_max_m {self.workspace_max_m}"
                )
        for name in (
            "max_step_m",
            "max_target_lead_m",
            "max_command_age_s",
            "command_timeout_s",
            "max_state_age_s",
            "refusal_window_s",
            "deadman_timeout_s",
            "clear_distance_m",
        ):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0.0):
                raise ConfigurationError(f"{name} must be positive and finite, got {value}")
        for name in ("max_step_rad", "max_target_lead_rad"):
            value = getattr(self, name)
            if not 0.0 < value < math.pi / 2:  # together below half a turn, so that nearer is always well defined
                raise ConfigurationError(f"{name} must be in (0, pi/2), got {value}")
        interval_s = self.min_command_interval_s
        if not 0.0 <= interval_s < self.command_timeout_s:
            raise ConfigurationError(
                f"min_command_interval_s must be in [0, {self.command_timeout_s:g}), the time-out, got {interval_s}"
            )
        if not (math.isfinite(self.refuse_ratio) and self.refuse_ratio >= 1.0):
            raise ConfigurationError(f"refuse_ratio must be finite and at least 1, got {self.refuse_ratio}")
        for name in ("max_refusals_in_a_row", "max_refusals_in_window"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0.0 <= self.braking_s <= 0.2:
            raise ConfigurationError(f"braking_s must be in [0, 0.2], got {self.braking_s}")
        for name in ("joint_margin_rad", "min_clearance_m", "clear_quiet_s", "max_contact_force_n"):
            value = getattr(self, name)
            if not 0.0 <= value < math.inf:
                raise ConfigurationError(f"{name} must be at least 0 and finite, got {value}")
