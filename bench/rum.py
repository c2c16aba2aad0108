"""What a step of RUM's policies costs, what a delay costs them, and how they go over from one chunk to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.figures import Direction, Figure, Measurement, Settings, measures
from bench.machine import measure_in_children, usable_cores
from bench.policy import timed

if TYPE_CHECKING:
    from tutelage.drivers import ThinkingSettings

HEADS = {"vq_bet": 40.0, "mlp": 40.0, "diffusion": None, "act": None}
"""Policy classes and what a step of them may cost [ms]."""

UTILITY_MODEL, TASK = "rum_pick_bag", "PickBag"
"""On which delays and seams are shown."""

TRIALS = 100
DELAY_S = 0.2
BLEND_STEPS = 2


@measures(
    *(
        Figure(
            f"rum_{head}_step_ms",
            8,
            "ms",
            bound,
            Direction.AT_MOST,
            False,
            f"one step of RUM with head '{head}', encoder included, on one thread, median wall time",
        )
        for head, bound in HEADS.items()
    )
)
def steps(settings: Settings) -> Mapping[str, Measurement]:
    """Measure policies of the default size, with random weights, in a process of their own."""
    (found,) = measure_in_children(_steps, [()], pin=True)
    return found


def _steps() -> Mapping[str, Measurement]:
    """Time a policy whose window moves on by one observation each time: two of its three maps are known."""
    import itertools

    import numpy as np
    import torch

    from policies.rum.model import RumModelConfig, RumNetwork
    from policies.rum.policy import RumPolicy, make_spec
    from policies.rum.scales import RumScales
    from tutelage_core.contract import CameraNeed
    from tutelage_core.types import Observation

    torch.set_num_threads(1)
    cameras = {"wrist": CameraNeed(128, 128)}
    found: dict[str, Measurement] = {}
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (16, 128, 128, 3), dtype=np.uint8)
    turn = np.array([1.0, 0.0, 0.0, 0.0, -1.0, 0.0])
    for head in HEADS:
        config = RumModelConfig(head)
        torch.manual_seed(0)
        spec = make_spec(config, cameras, action="tcp_step", control_rate_hz=10.0, tasks=("none",))
        policy = RumPolicy(spec, RumNetwork(config, cameras), RumScales(0.02, 0.1))
        policy.reset("none", 0)
        seen = [Observation(k, {"wrist": pictures[k % 16]}, {"tcp_rotation_6d": turn}) for k in range(config.history)]
        numbers = itertools.count(config.history)

        def step(
            seen: list[Observation] = seen, policy: RumPolicy = policy, numbers: itertools.count = numbers
        ) -> None:
            number = next(numbers)
            seen.append(Observation(number, {"wrist": pictures[number % 16]}, {"tcp_rotation_6d": turn}))
            del seen[0]
            policy.act(seen)

        weights = sum(p.numel() for p in policy.network.parameters() if p.requires_grad)
        found[f"rum_{head}_step_ms"] = timed(step, {"head": head, "learned_weights": weights})
    return found


@measures(
    Figure(
        "rum_delay_loss_points",
        8,
        "points",
        5.0,
        Direction.AT_MOST,
        True,
        f"success lost by {DELAY_S * 1e3:.0f} ms of thinking, compensated: {UTILITY_MODEL}, {TRIALS} test rooms each",
    ),
    Figure(
        "rum_delay_uncompensated_loss_points",
        8,
        "points",
        None,
        Direction.AT_MOST,
        True,
        "the same with late steps replayed",
    ),
    Figure(
        "rum_delay_dropped_loss_points",
        8,
        "points",
        None,
        Direction.AT_MOST,
        True,
        "the same with late steps dropped and not made up",
    ),
    Figure(
        "rum_seam_jerk_ratio",
        8,
        "",
        0.5,
        Direction.AT_MOST,
        True,
        f"jerk at seams, 99th percentile, with {BLEND_STEPS} blended steps over that of plain switching, same episodes",
    ),
    Figure(
        "rum_blending_loss_points",
        8,
        "points",
        None,
        Direction.AT_MOST,
        True,
        "success lost by that blending",
    ),
)
def delays_and_seams(settings: Settings) -> Mapping[str, Measurement]:
    """Run the same rooms five times."""
    from tutelage.drivers import ThinkingSettings
    from tutelage_core.chunks import SeamSettings

    late = ThinkingSettings(delay_s=DELAY_S)
    runs = {
        "plain": ThinkingSettings(),
        "late": late,
        "dropped": replace(late, seams=SeamSettings(catch_up=False)),
        "uncompensated": replace(late, compensates=False, seams=SeamSettings(catch_up=False)),
        "blended": ThinkingSettings(seams=SeamSettings(blend_steps=BLEND_STEPS)),
    }
    found = {name: seam_run(thinking) for name, thinking in runs.items()}
    successes = {name: sum(success for success, _ in run.values()) for name, run in found.items()}
    jerks = {name: [jerk for _, jerks in run.values() for jerk in jerks] for name, run in found.items()}
    seeds = sorted(found["plain"])
    extra = {"policy": UTILITY_MODEL, "task": TASK, "successes": successes, "episodes": len(seeds)}

    def lost(name: str) -> Measurement:
        points = 100.0 * (successes["plain"] - successes[name]) / len(seeds)
        return Measurement(points, len(seeds), seeds, extra=extra)

    p99 = {name: percentile_99(values) for name, values in jerks.items()}
    seams = {"p99_m_s3": p99, "seams": {name: len(values) for name, values in jerks.items()}}
    return {
        "rum_delay_loss_points": lost("late"),
        "rum_delay_uncompensated_loss_points": lost("uncompensated"),
        "rum_delay_dropped_loss_points": lost("dropped"),
        "rum_blending_loss_points": lost("blended"),
        "rum_seam_jerk_ratio": Measurement(p99["blended"] / p99["plain"], len(seeds), seeds, extra={**extra, **seams}),
    }


def percentile_99(values: list[float]) -> float:
    """Return the 99th percentile; NaN of nothing."""
    import numpy as np

    return float(np.percentile(values, 99)) if values else float("nan")


def seam_run(thinking: ThinkingSettings) -> dict[int, tuple[bool, list[float]]]:
    """Return, for each seed, whether it worked, and the jerk of the commands at each seam [m/s^3]."""
    cores = len(usable_cores())
    seeds = range(1_000_000, 1_000_000 + TRIALS)
    parts = measure_in_children(_seam_episodes, [(thinking, list(seeds[k::cores])) for k in range(cores)], pin=True)
    return {seed: found for part in parts for seed, found in part.items()}


def _seam_episodes(thinking: ThinkingSettings, seeds: list[int]) -> dict[int, tuple[bool, list[float]]]:
    import torch

    from hardware.safety.gate import make_gate
    from policies.registry import find_checkpoint, load_policy
    from sim.twin import Twin
    from tutelage.drivers import PolicyDriver
    from tutelage.loop import EpisodeOptions, run_episode
    from tutelage_core.contract import load_contract

    torch.set_num_threads(1)
    contract = load_contract("twin")
    twin = Twin(contract, TASK, seeds[0], rooms="test")
    driver = PolicyDriver(load_policy(find_checkpoint(UTILITY_MODEL)), thinking)
    found: dict[int, tuple[bool, list[float]]] = {}
    for seed in seeds:
        result = run_episode(twin, driver, make_gate(contract), contract, EpisodeOptions(seed))
        found[seed] = (result.success, driver.report.seam_jerks())
    twin.close()
    return found
