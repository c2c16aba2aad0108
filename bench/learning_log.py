"""What a learner keeps of the steps of a graph, compared with the recordings of what was executed."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.learning_graph import LearningGraph

if TYPE_CHECKING:
    from policies.hil_serl.transition import Step
    from tutelage_core.episodes.store import EpisodeStore

WITHOUT_OUTCOME = 3
"""Steps at a killed actor's end whose outcome was not known yet, at most."""

EXACT_M = 1e-6
"""Steps of the replay are of single precision [m]."""


@dataclass(frozen=True)
class Comparison:
    """What the learner's log holds of what was executed.

    Attributes:
        executed: steps, by the recordings.
        kept: steps, by the learner's log.
        without_outcome: executed steps of killed actors of which nothing was seen any more.
        audit: what the replay's audit says.
        faults: whatever is lost, doubled or wrong; empty if nothing is.
    """

    executed: int
    kept: int
    without_outcome: int
    audit: str
    faults: tuple[str, ...]

    def extra(self) -> dict[str, object]:
        """Return it for a measurement."""
        return {
            "executed": self.executed,
            "kept": self.kept,
            "without_outcome": self.without_outcome,
            "audit": self.audit,
            "faults": list(self.faults[:5]),
        }


def compare(graph: LearningGraph) -> Comparison:
    """Compare the learner's log with the recordings of all episodes that have ended."""
    from policies.hil_serl.mixture import Mixture
    from policies.hil_serl.replay_audit import audit
    from policies.hil_serl.replay_store import read_events
    from policies.hil_serl.stored_views import StoredViews
    from policies.hil_serl.transition import Step
    from policies.hil_serl.untrained import untrained_policy
    from tutelage_core.contract import load_contract
    from tutelage_core.episodes.store import EpisodeStore

    contract, settings = load_contract("twin"), graph.settings
    policy = untrained_policy(contract, settings.algorithm(seed=0).model, settings.cameras, settings.tasks)
    identity = StoredViews(policy, settings.views, 0).identity(contract.name)
    memory = settings.memory
    mixture = Mixture.allocate(identity.layout, memory.online, memory.demonstrations, limit_bytes=memory.limit_bytes)
    segments: dict[int, list[Step]] = defaultdict(list)
    for event in read_events(graph.folder / "run" / "replay", identity):
        mixture.apply(event)
        if isinstance(event, Step):
            segments[event.segment].append(event)
    checked = audit(mixture.online)
    faults = [] if checked.is_clean else [f"audit: {checked}"]
    if list(segments) != list(range(len(segments))):
        faults.append(f"segments {list(segments)} are not in order")
    waiting = list(segments.values())
    executed, lost = 0, 0
    store = EpisodeStore(graph.folder / "episodes")
    for name in sorted(store.names(), key=lambda name: store.manifest(name).metadata.seed):
        was_cut = store.manifest(name).result.termination == "aborted"
        recorded = _recorded(store, name)
        executed += len(recorded)
        made = waiting.pop(0) if waiting and _are_same(waiting[0], recorded, contract.safety.max_step_m) else []
        missing = len(recorded) - len(made)
        if missing > (WITHOUT_OUTCOME if was_cut else 0):
            faults.append(f"{name}: {len(made)} of {len(recorded)} executed steps are kept")
        lost += missing
    if waiting:
        faults.append(f"{len(waiting)} segments, the first of {len(waiting[0])} steps, are of no recorded episode")
    kept = sum(map(len, segments.values()))
    return Comparison(executed, kept, lost, str(checked), tuple(faults))


def _recorded(store: EpisodeStore, name: str) -> list[tuple[float, int]]:
    """Return length [m] and source of each step that was executed in an episode."""
    import numpy as np

    if not store.manifest(name).result.steps:
        return []
    episode = store.read(name, ())
    lengths = np.linalg.norm(episode.executed[:, :3], axis=1)
    return list(zip(lengths.tolist(), episode.sources.tolist(), strict=True))


def _are_same(made: list[Step], recorded: list[tuple[float, int]], max_step_m: float) -> bool:
    """Tell whether the steps of a segment are what was executed first: a length is the same in every frame."""
    import numpy as np

    if len(made) > len(recorded) or [step.index for step in made] != list(range(len(made))):
        return False
    return all(
        abs(float(np.linalg.norm(step.action[:3].astype(np.float64))) * max_step_m - length) <= EXACT_M
        and int(step.source) == source
        for step, (length, source) in zip(made, recorded, strict=False)
    )
