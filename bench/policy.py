"""What the shipped policy reaches, and what thinking costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from bench.figures import Direction, Figure, Measurement, Settings, measures
from bench.machine import measure_in_children, usable_cores

TRIALS = 100
"""Episodes of the success figure."""

CALLS = 200
WARM_UP_CALLS = 10


@measures(
    Figure(
        "policy_pick_cube_successes",
        1,
        "episodes of 100",
        90.0,
        Direction.AT_LEAST,
        True,
        "shipped policy on PickCube, 100 seeded episodes not used in training, in the loop",
    )
)
def successes(settings: Settings) -> Mapping[str, Measurement]:
    """Evaluate as `tutelage eval` does; the interval is that of the success rate (Wilson, 95 %)."""
    from tutelage.runs.evaluate import EvaluateConfig, evaluate

    config = EvaluateConfig(policy=settings.policy, episodes=TRIALS, processes=len(usable_cores()))
    found = evaluate(config)
    failures = [r.failure or r.termination for r in found.results if not r.success]
    return {
        "policy_pick_cube_successes": Measurement(
            found.successes,
            len(found.results),
            range(found.seeds[0], found.seeds[-1] + 1),
            found.interval,
            {
                "policy": settings.policy,
                "summary": found.summary(),
                "failures": {kind: failures.count(kind) for kind in sorted(set(failures))},
                "mean_steps_to_success": sum(r.steps for r in found.results if r.success) / max(found.successes, 1),
            },
        )
    }


@measures(
    Figure(
        "bc_act_ms",
        1,
        "ms",
        None,
        Direction.UNDER,
        False,
        "one call of the policy on one thread, two cameras, median wall time",
    ),
    Figure(
        "compact_encode_ms",
        1,
        "ms",
        None,
        Direction.UNDER,
        False,
        "compact image encoder, two 128x128 images on one thread, median wall time",
    ),
    Figure(
        "lite0_encode_ms",
        1,
        "ms",
        None,
        Direction.UNDER,
        False,
        "frozen EfficientNet-Lite0, two 128x128 images on one thread, median wall time",
    ),
)
def thinking(settings: Settings) -> Mapping[str, Measurement]:
    """Measure policy and encoders in a process of their own."""
    (found,) = measure_in_children(think, [(settings.policy,)], pin=True)
    return found


def think(policy_name: str) -> Mapping[str, Measurement]:
    """Time the policy on what the twin shows, and the encoders on two of its images."""
    import numpy as np
    import torch

    from policies.registry import find_checkpoint, load_policy
    from sim.twin import Twin
    from tutelage_core.contract import load_contract, state_vectors
    from tutelage_core.encoders.image import IMAGE_ENCODERS, build_image_encoder
    from tutelage_core.types import Observation
    from tutelage_core.window import ObservationWindow

    torch.set_num_threads(1)
    contract = load_contract("twin")
    twin = Twin(contract)
    images = {name: twin.render(name) for name in contract.cameras}
    observation = Observation(0, images, state_vectors(twin.arm_state(), contract.state_keys))
    instruction = twin.instruction
    twin.close()
    policy = load_policy(find_checkpoint(policy_name))
    policy.reset(instruction, 0)
    history = ObservationWindow(policy.spec.history)
    window = history.push(observation)
    found = {"bc_act_ms": timed(lambda: policy.act(window), {"policy": policy_name})}
    pixels = torch.from_numpy(np.stack(list(images.values()))).permute(0, 3, 1, 2).contiguous()
    for name in IMAGE_ENCODERS:
        encoder = build_image_encoder(name, *pixels.shape[2:])
        with torch.inference_mode():
            found[f"{name}_encode_ms"] = timed(lambda encoder=encoder: encoder(pixels), {"images": len(pixels)})
    return found


def timed(call: Callable[[], object], extra: Mapping[str, object]) -> Measurement:
    """Return the median wall time of `call` [ms], with its p99 and its processor time."""
    import numpy as np

    for _ in range(WARM_UP_CALLS):
        call()
    wall_ms, cpu_begun = [], time.process_time()
    for _ in range(CALLS):
        begun = time.perf_counter()
        call()
        wall_ms.append((time.perf_counter() - begun) * 1e3)
    cpu_ms = (time.process_time() - cpu_begun) / CALLS * 1e3
    spread = {"p99_ms": float(np.percentile(wall_ms, 99)), "mean_cpu_ms": cpu_ms, "calls": CALLS}
    return Measurement(float(np.median(wall_ms)), extra={**spread, **extra})
