"""A policy that has learnt nothing yet: what a run begins with."""

from __future__ import annotations

from policies.hil_serl.config import ModelConfig
from policies.hil_serl.frames import ActionScale
from policies.hil_serl.policy import HilSerlPolicy, Scales, make_policy, make_spec
from policies.hil_serl.state_encoder import StateScales
from tutelage_core.contract import CameraNeed, RobotContract
from tutelage_core.errors import UnknownNameError


def untrained_policy(
    contract: RobotContract, model: ModelConfig, cameras: tuple[str, ...] = (), tasks: tuple[str, ...] = ()
) -> HilSerlPolicy:
    """Return a policy for a robot, with weights to be loaded.

    Args:
        contract: of the robot.
        model: shape of the networks.
        cameras: that it looks through; all of the robot's if empty.
        tasks: that it is for.

    Raises:
        UnknownNameError: the robot has no such camera.
        ConfigurationError: model and robot do not belong together.
    """
    for name in cameras:
        if name not in contract.cameras:
            raise UnknownNameError("camera", name, contract.cameras, f"robot '{contract.name}'")
    sizes = {name: contract.cameras[name] for name in cameras or tuple(contract.cameras)}
    needs = {name: CameraNeed(size.width, size.height) for name, size in sizes.items()}
    spec = make_spec(model, needs, control_rate_hz=contract.control_rate_hz, tasks=tasks)
    return make_policy(spec, model, Scales(ActionScale.of(contract), StateScales.of(contract)))
