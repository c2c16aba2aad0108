"""The driver of a Franka FR3 arm with its hand, on franky-control.

The robot compensates gravity; franky adds a Cartesian impedance whose deviation is clipped, so that forces stay bounded
however far away a target is (see `FrankaOptions.force_limit_n`). Tested against the simulated controller of
`sim.franka_server` only, which speaks the robot's own network protocol.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import Any

import numpy as np

from hardware.arms import franka_checks as checks
from hardware.arms.franka_control import FrankaControl, errors_in, pose_of
from hardware.arms.franka_gripper import FrankaGripper
from hardware.arms.franka_options import FrankaOptions
from hardware.safety.robot_model import RobotModel
from tutelage_core.clock import Clock
from tutelage_core.contract import RobotContract, robots_folder
from tutelage_core.errors import ArmError
from tutelage_core.threads import in_thread_of_its_own
from tutelage_core.types import ArmCommand, ArmState, FloatArray

PACKAGE = "franky-control"
"""What must be installed, by its name for pip."""


def load_franky() -> tuple[Any, checks.FrankaVersions]:
    """Return the package `franky` and its row of the version table.

    Raises:
        ArmError: it is not installed, or not in a version that was tested.
    """
    try:
        installed = importlib.metadata.version(PACKAGE)
        franky = importlib.import_module("franky")
    except ImportError as error:
        raise ArmError(
            f"the Franka driver needs {PACKAGE}, which cannot be imported ({error}); "
            f"run: pip install {PACKAGE}=={checks.VERSIONS[-1].package}"
        ) from error
    return franky, checks.find_versions(installed)


class FrankaArm:
    """A Franka arm behind the `Arm` protocol."""

    Options = FrankaOptions

    def __init__(self, contract: RobotContract, options: FrankaOptions, clock: Clock) -> None:
        """Prepare; nothing is opened before `connect`.

        Args:
            contract: the robot.
            options: of the driver.
            clock: stamps the states.

        Raises:
            ConfigurationError: the contract's model cannot be read.
        """
        self._options, self._clock = options, clock
        self._joints, self._period_ns = contract.arm.joints, contract.period_ns
        self._model: RobotModel | None = None
        if contract.arm.model:
            self._model = RobotModel(robots_folder() / contract.arm.model, contract.arm.joints)
        self._stopped = ""
        self._franky: Any = None
        self._robot: Any = None
        self._control: FrankaControl | None = None
        self._gripper: FrankaGripper | None = None

    @property
    def stopped(self) -> str:
        """Why the arm is stopped; empty while it is not."""
        if not self._stopped and self._control is not None and self._control.fault:
            self._stopped = self._control.fault  # latched: only `recover` clears it, even if the robot is well again
        return self._stopped

    @property
    def robot_time_ns(self) -> int:
        """Time of the newest state on the robot's own clock [ns]; a simulated robot's may run slower than ours.

        Raises:
            ArmError: not connected, or the connection is lost.
        """
        return int(self._require_connection("read the time").newest.state.time.to_msec()) * 1_000_000

    def connect(self) -> None:
        """Connect, check the robot against the contract, and hold the measured pose.

        A robot that reports an error is connected to and left alone: the arm is stopped until `recover`.

        Raises:
            ArmError: the package is missing, the robot cannot be reached, or it is not the contract's.
        """
        if self._control is not None:
            return
        franky, versions = load_franky()
        self._franky = franky
        try:
            self._robot = self._open(franky.Robot, versions, self._realtime(franky))
            limits = self._check_robot()
            if self._options.gripper:
                gripper = self._open(franky.Gripper, versions)
                checks.check_gripper_version(gripper.server_version, versions)
                self._gripper = FrankaGripper(franky, gripper, self._options)
            self._control = FrankaControl(franky, self._robot, self._options, limits, self._period_ns, self._clock)
            if obstacle := self._control.obstacle():
                self._stopped = self._stopped or obstacle
            else:
                self._control.begin()
        except ArmError:
            self.disconnect()
            raise
        except errors_in(franky) as error:
            self.disconnect()
            raise ArmError(f"the Franka robot at {self._options.host} broke off: {error}") from error

    def read(self) -> ArmState:
        """Return the newest measured state. When the robot falls silent, the state's stamp stands still.

        Raises:
            ArmError: not connected, or the connection is lost.
        """
        newest = self._require_connection("read").newest
        state = newest.state
        jacobian = self._robot.model.zero_jacobian(self._franky.Frame.EndEffector, state)
        velocities = np.array(state.dq, dtype=np.float64)
        return ArmState(
            stamp_ns=newest.stamp_ns,
            joint_positions=np.array(state.q, dtype=np.float64),
            joint_velocities=velocities,
            T_base_tcp=pose_of(state.O_T_EE),
            tcp_velocity=np.asarray(jacobian) @ velocities,
            # libfranka counts what the robot exerts on the world as positive
            wrench=-np.array(state.O_F_ext_hat_K, dtype=np.float64),
            gripper_opening=1.0 if self._gripper is None else self._gripper.opening,
        )

    def send(self, command: ArmCommand) -> ArmCommand:
        """Take a target; the arm is pulled there within one control period.

        Raises:
            ArmError: not connected, stopped, or the command is not finite.
        """
        control = self._require_connection("send")
        if self.stopped:
            raise ArmError(f"the Franka arm is stopped ({self.stopped}); call recover() first")
        if self._gripper is not None and self._gripper.fault:
            raise ArmError(f"the connection to the Franka hand is lost: {self._gripper.fault}")
        target = command.T_base_tcp_target
        numbers = np.concatenate([target.position, target.quaternion_xyzw, [command.gripper_opening]])
        if not np.isfinite(numbers).all() or float(np.linalg.norm(target.quaternion_xyzw)) < 0.5:
            raise ArmError(f"the Franka driver was sent a target that is not finite or no pose: {numbers.tolist()}")
        control.aim(target)
        if self._gripper is not None:
            self._gripper.aim(command.gripper_opening)
        return command

    def stop(self, reason: str) -> None:
        """Stop and latch: the arm holds its measured pose, the hand what it holds."""
        self._stopped = self.stopped or reason or "stopped"
        if self._control is not None:
            self._control.hold()
        if self._gripper is not None:
            self._gripper.hold()

    def recover(self) -> None:
        """Clear the robot's errors, take control where the arm is, and leave the latched stop.

        Raises:
            ArmError: not connected, or the robot is not ready; the stop stays.
        """
        self._require_connection("recover").recover()
        self._stopped = ""

    def disconnect(self) -> None:
        """Hold, then close the connection. May be called twice."""
        if self._control is not None:
            _ = self.stopped  # a fault outlives the connection
            self._control.close()
        if self._gripper is not None:
            self._gripper.close()
        self._control = self._gripper = self._robot = None

    def _realtime(self, franky: Any) -> dict[str, Any]:
        config = franky.RealtimeConfig
        return {"realtime_config": config.Ignore if self._options.realtime == "ignore" else config.Enforce}

    def _open(self, kind: Any, versions: checks.FrankaVersions, arguments: dict[str, Any] | None = None) -> Any:
        franky, host = self._franky, self._options.host
        try:
            return in_thread_of_its_own(lambda: kind(host, **(arguments or {})))
        except franky.IncompatibleVersionException as error:
            raise ArmError(checks.explain_mismatch(str(error), versions)) from error
        except franky.RealtimeException as error:
            raise ArmError(
                f"{error} A Franka arm needs a PREEMPT_RT kernel and the right to use real-time priorities. "
                "For a simulator, set the option `realtime: ignore`"
            ) from error
        except (franky.NetworkException, franky.Exception, RuntimeError) as error:
            raise ArmError(
                f"no Franka robot answers at {host}: {error} Is the address right and FCI active?"
            ) from error

    def _check_robot(self) -> tuple[FloatArray, FloatArray] | None:
        """Compare robot and contract; return the contract's joint limits."""
        state = self._robot.state
        checks.check_mass(float(state.m_ee), self._options.end_effector_kg)
        if self._model is None:
            return None
        checks.check_joint_limits(self._joints, self._model, *checks.joint_limits(self._robot.model_urdf))
        checks.check_tool(self._model, np.array(state.q, dtype=np.float64), pose_of(state.O_T_EE))
        return self._model.low, self._model.high

    def _require_connection(self, action: str) -> FrankaControl:
        if self._control is None:
            raise ArmError(f"cannot {action}: the Franka arm is not connected; call connect() first")
        return self._control
