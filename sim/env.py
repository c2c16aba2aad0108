"""The twin as a Gymnasium environment: the loop without ROS, through the same SafetyGate as the robot."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike

from hardware.safety.gate import make_gate
from sim.rooms import parse_room
from sim.twin import Twin
from tutelage_core.contract import STATE_KEYS, RobotContract, load_contract, state_vectors
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import ArmState, ImageArray, Source, StepCommand

RENDER_CAMERA = "front"


class TwinEnv(gymnasium.Env[dict[str, Any], np.ndarray]):
    """One task in the twin.

    Observations are the contract's cameras (uint8, shape (height, width, 3)) and state keys (float64, SI) by name.
    Actions are TCP steps, shape (7,) [m, rad, 0..1]. The reward is 1 with success, which ends the episode, and 0 else.
    `info` holds `success`, `progress`, `failure`, `instruction`, `executed` (the step that the gate let through),
    `reasons` (why the gate changed it), `contact_force_n` (what the robot pressed with, at most) and `room`.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(
        self,
        task: str = "PickCube",
        robot: str | RobotContract = "twin",
        cameras: bool = True,
        render_mode: str | None = None,
        rooms: str = "lab",
        profile: str = "fast",
    ) -> None:
        """Build the twin.

        Args:
            task: name of the task.
            robot: the contract, its name or its file.
            cameras: whether observations hold pictures; without them it is about three times as fast.
            render_mode: `rgb_array` or none.
            rooms: split that rooms are drawn from: lab, train, test or held_out.
            profile: render profile: fast or pretty.

        Raises:
            UnknownNameError: no task, robot, split or profile has this name.
            ConfigurationError: the render mode is not supported.
        """
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ConfigurationError(f"render_mode must be None or 'rgb_array', got {render_mode!r}")
        self.render_mode = render_mode
        self.contract = robot if isinstance(robot, RobotContract) else load_contract(robot)
        self.twin = Twin(self.contract, task, rooms=rooms, profile=profile)
        self._gate = make_gate(self.contract)
        self._cameras = tuple(self.contract.cameras) if cameras else ()
        self._steps = 0
        self.observation_space = self._observation_space()
        limits = self.contract.safety
        reach = np.array([limits.max_step_m] * 3 + [limits.max_step_rad] * 3)
        self.action_space = spaces.Box(np.append(-reach, 0.0), np.append(reach, 1.0), dtype=np.float64)

    @property
    def step_limit(self) -> int:
        """Steps after which an episode is truncated."""
        return self.twin.step_limit

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode; the same `seed` gives the same one, bit for bit. Without a seed the next one is drawn.

        `options` may hold `room`: a `Room` or its name such as `test:12`. Without it the seed draws the room too.

        Raises:
            ConfigurationError: the room is not legal.
        """
        super().reset(seed=seed)
        room = (options or {}).get("room")
        self.twin.reset(
            int(self.np_random.integers(2**31)) if seed is None else seed,
            parse_room(room) if isinstance(room, str) else room,
        )
        self._steps = 0
        state = self.twin.arm_state()
        self._gate.clear_stop()
        self._gate.restart(state)
        return self._observe(state), self._info(np.append(np.zeros(6), state.gripper_opening), ())

    def step(self, action: ArrayLike) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Take one control period with the TCP step `action`, shape (7,) [m, rad, 0..1]."""
        self._steps += 1
        now_ns = self.twin.time_ns
        command = StepCommand(now_ns, self._steps, Source.POLICY, np.asarray(action, dtype=np.float64))
        decision = self._gate.admit(command, self.twin.arm_state(), now_ns)
        self.twin.advance(decision.target)
        executed = decision.executed
        info = self._info(executed.executed, tuple(str(reason) for reason in executed.reasons))
        success = bool(info["success"])
        observation = self._observe(self.twin.arm_state())
        return observation, float(success), success, not success and self._steps >= self.step_limit, info

    def expert_step(self) -> np.ndarray:
        """Return what the task's expert does here: a TCP step, shape (7,) [m, rad, 0..1]."""
        return self.twin.expert_step()

    def render(self) -> ImageArray | None:
        """Return the front camera's picture, shape (height, width, 3), in mode `rgb_array`."""
        return self.twin.render(RENDER_CAMERA) if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Free the renderer."""
        self.twin.close()

    def _observe(self, state: ArmState) -> dict[str, Any]:
        images = {name: self.twin.render(name) for name in self._cameras}
        return {**images, **state_vectors(state, self.contract.state_keys)}

    def _info(self, executed: np.ndarray, reasons: tuple[str, ...]) -> dict[str, Any]:
        status = self.twin.task_status()
        return {
            "success": status.success,
            "progress": status.progress,
            "failure": status.failure,
            "instruction": self.twin.instruction,
            "executed": executed,
            "reasons": reasons,
            "contact_force_n": self.twin.contact_force_n(),
            "room": self.twin.room.name,
        }

    def _observation_space(self) -> spaces.Dict:
        parts: dict[str, spaces.Space[Any]] = {}
        for name in self._cameras:
            camera = self.contract.cameras[name]
            parts[name] = spaces.Box(0, 255, (camera.height, camera.width, 3), dtype=np.uint8)
        for key in self.contract.state_keys:
            parts[key] = spaces.Box(-np.inf, np.inf, (STATE_KEYS[key],), dtype=np.float64)
        return spaces.Dict(parts)
