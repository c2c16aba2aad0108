"""Numbers of online learning in the twin: the algorithm's, and the person's."""

from __future__ import annotations

from dataclasses import replace

from policies.hil_serl.config import HilSerlConfig
from policies.hil_serl.presets import preset
from sim.correction import CorrectionSettings
from sim.human import InterventionSettings
from sim.lookout import LookoutSettings


def default_settings() -> HilSerlConfig:
    """Return HIL-SERL for the twin.

    One update for each step of the robot, so that a run does not depend on the machine. An action of 1 is 25 mm here,
    where the paper's tasks have 10 to 15 mm: with its target entropy the actor would tremble by 4 mm and not by 2, too
    much for a peg that has half a millimetre of play. A lower target, and a lower temperature from the start on, make
    the noise as small as the paper's.
    """
    ours = preset("hil_serl")
    return replace(
        ours,
        loss=replace(ours.loss, entropy_per_dimension=-1.5, temperature_init=0.002),
        schedule=replace(ours.schedule, updates_per_step=1.0),
    )


def hg_dagger_settings() -> HilSerlConfig:
    """Return HG-DAgger with the pace of `default_settings`, to compare with."""
    return replace(preset("hg_dagger"), schedule=default_settings().schedule)


def coach() -> InterventionSettings:
    """Return a person who lets the policy try, and carries a correction on (the advice of HIL-SERL's authors)."""
    return InterventionSettings(
        lookout=LookoutSettings(stall_s=1.5, disagreement_m=0.035, disagreement_s=0.8),
        correction=CorrectionSettings(longest_s=10.0, regained=0.5),
    )
