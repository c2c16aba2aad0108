"""What the SafetyGate costs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping

from bench.figures import Direction, Figure, Measurement, Settings, measures

BLOCKS = 200
ADMISSIONS_PER_BLOCK = 50
"""One reading of the clock covers so many admissions: the reading itself takes about as long as a tenth of one."""

WARM_UP_BLOCKS = 10


@measures(
    Figure(
        "gate_admit_us",
        1,
        "us",
        200.0,
        Direction.UNDER,
        False,
        "processor time of one SafetyGate.admit, the robot's model included, median; free, clamped and refused steps",
    )
)
def gate(_: Settings) -> Mapping[str, Measurement]:
    """Measure admissions against a moving measured pose; a latch is cleared between blocks, or all would be refused."""
    import numpy as np

    from hardware.safety.envelope import make_model
    from hardware.safety.gate import make_gate
    from tutelage_core.contract import load_contract
    from tutelage_core.types import ArmState, Pose, Source, StepCommand

    contract = load_contract("twin")
    limits = contract.safety
    rng = np.random.default_rng(0)
    joints = np.array(contract.arm.home_joint_positions)
    model = make_model(contract)
    assert model is not None, "the twin's contract names a model"
    home = model.tcp_pose(joints)
    judge = make_gate(contract)
    micros: list[float] = []
    stamp_ns, sequence = 0, 0
    for block in range(WARM_UP_BLOCKS + BLOCKS):
        pairs: list[tuple[StepCommand, ArmState]] = []
        for _number in range(ADMISSIONS_PER_BLOCK):
            sequence += 1
            stamp_ns += contract.period_ns
            step = np.append(rng.normal(0.0, limits.max_step_m / 3, 3), [*rng.normal(0.0, 0.02, 3), rng.random()])
            if sequence % 10 == 0:
                step[0] = np.nan if sequence % 20 else 1.0
            elif sequence % 3 == 0:
                step[:3] *= 1.5 * limits.max_step_m / np.linalg.norm(step[:3])
            pose = Pose(home.position + rng.normal(0.0, 0.002, 3), home.quaternion_xyzw)
            state = ArmState(stamp_ns, joints, np.zeros(len(joints)), pose, np.zeros(6), np.zeros(6), 1.0)
            pairs.append((StepCommand(stamp_ns, sequence, Source.POLICY, step), state))
        judge.clear_stop()
        judge.arm()
        begun_ns = time.thread_time_ns()
        for command, state in pairs:
            judge.admit(command, state, command.stamp_ns)
        if block >= WARM_UP_BLOCKS:
            micros.append((time.thread_time_ns() - begun_ns) / ADMISSIONS_PER_BLOCK / 1e3)
    return {
        "gate_admit_us": Measurement(
            statistics.median(micros),
            extra={
                "p99_us": float(np.percentile(micros, 99)),
                "refused": judge.refused,
                "clamped": judge.clamped,
                "admissions": (WARM_UP_BLOCKS + BLOCKS) * ADMISSIONS_PER_BLOCK,
                "latch": judge.latch,
            },
        )
    }
