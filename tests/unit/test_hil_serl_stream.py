"""Actors and a learner over a network that loses, delays and parts: nothing is lost, and nothing doubled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from policies.checkpoint import read_checkpoint
from policies.hil_serl.acknowledgement import Acknowledgement, WeightsVersion
from policies.hil_serl.config import EncoderConfig, HilSerlConfig, ScheduleConfig
from policies.hil_serl.finiteness import NonFiniteError
from policies.hil_serl.frames import ActionScale
from policies.hil_serl.outbox import OutboxConfig
from policies.hil_serl.policy import HilSerlPolicy, Scales, make_policy, make_spec
from policies.hil_serl.replay_audit import audit
from policies.hil_serl.replay_store import read_events
from policies.hil_serl.run_name import next_start
from policies.hil_serl.state_encoder import StateScales
from policies.hil_serl.step_codec import StepCodec
from policies.hil_serl.stored_views import StoredViews, ViewsConfig
from policies.hil_serl.stream_actor import SILENCE_S, StreamActor
from policies.hil_serl.stream_learner import POLICY_FOLDER, StreamConfig, StreamLearner
from policies.hil_serl.training_run import MemoryConfig, TrainingRun
from policies.hil_serl.transition import EncodedObservation, Gripper, Step
from policies.hil_serl.weights_stream import WeightsPacket
from tests.unit.hil_serl_samples import SMALL
from tutelage_core.clock import ManualClock
from tutelage_core.contract import NS_PER_S
from tutelage_core.errors import CheckpointError, ConfigurationError, UnknownNameError
from tutelage_core.types import Source

pytestmark = pytest.mark.unit

CONFIG = replace(
    SMALL,
    model=replace(SMALL.model, encoder=EncoderConfig(embeddings=2, camera_features=8)),
    schedule=ScheduleConfig(training_starts=4, updates_per_step=1.0, lag_steps=3),
)
LENGTH = 6
"""Steps of a segment."""


def policy_of() -> HilSerlPolicy:
    spec = make_spec(CONFIG.model, {}, control_rate_hz=10.0, tasks=("reach",))
    return make_policy(spec, CONFIG.model, Scales(ActionScale(0.02, 0.1), StateScales()))


IDENTITY = StoredViews(policy_of(), ViewsConfig(views=1), 0).identity("twin")


def seen(number: int) -> EncodedObservation:
    return EncodedObservation({}, np.full(IDENTITY.layout.state_size, number / 1000, np.float32))


def made(actor: str, segment: int, index: int, *, after_restart: bool = False) -> Step:
    """Return a step whose observation tells which it is."""
    last = index == LENGTH - 1
    number = segment * 100 + index
    return Step(
        actor,
        segment,
        index,
        seen(number),
        np.full(6, np.sin(number), np.float32),
        Gripper.HOLD,
        float(last),
        Source.HUMAN if index % 2 else Source.POLICY,
        terminated=last and segment % 2 == 0,
        truncated=last and segment % 2 == 1,
        final_observation=seen(number + 1) if last else None,
        after_restart=after_restart,
    )


@dataclass
class Air:
    """What lies between them; a message that is not delivered lies here until somebody takes it."""

    words: list[Acknowledgement]
    packets: list[WeightsPacket]


class Learning:
    """A learner that can be killed: what it holds is then gone, and its folder stays."""

    def __init__(self, folder: Path, clock: ManualClock, config: HilSerlConfig = CONFIG, **stream: float) -> None:
        self.air = Air([], [])
        policy = policy_of()
        self.run = TrainingRun(
            folder,
            config,
            policy.networks.shape,
            IDENTITY,
            MemoryConfig(online=5000, demonstrations=5000, limit_gib=0.5),
            clock,
            created_by="test",
            may_lack_demonstrations=True,
        )
        self.learner = StreamLearner(
            self.run,
            policy,
            IDENTITY,
            next_start(folder),
            StreamConfig(**stream),
            clock,
            say=self.air.words.append,
            publish=self.air.packets.append,
            created_by="test",
        )

    def kill(self) -> None:
        self.run.store._lock.close()  # as the kernel does; nothing is sealed or saved


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small products gain nothing from more threads, and wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(10 * NS_PER_S)


@pytest.fixture
def learning(tmp_path: Path, clock: ManualClock) -> Iterator[Learning]:
    learning = Learning(tmp_path / "run", clock)
    yield learning
    learning.run.store.close()


def actor_in(folder: Path, clock: ManualClock, name: str = "a", **fields: object) -> StreamActor:
    return StreamActor(policy_of(), IDENTITY, name, folder / name, clock, **fields)


@pytest.fixture
def actor(tmp_path: Path, clock: ManualClock) -> Iterator[StreamActor]:
    actor = actor_in(tmp_path, clock)
    yield actor
    actor.close()


def exchange(actor: StreamActor, learning: Learning) -> None:
    """Deliver everything, both ways."""
    if learning.air.packets:
        actor.offer(learning.air.packets[-1])
    actor.hear(learning.air.words[-1])
    for parcel in actor.to_send():
        learning.learner.take(parcel.data)


def settle(actor: StreamActor, learning: Learning) -> None:
    """Deliver and learn until nothing is left to do."""
    for _ in range(100):
        exchange(actor, learning)
        if not learning.learner.work() and not len(actor.outbox):
            break
    exchange(actor, learning)


def episode(actor: StreamActor, length: int = LENGTH) -> None:
    """Make the next segment of an actor, or the beginning of it."""
    segment, cut = actor.outbox.next_segment, actor.outbox.is_cut
    for index in range(length):
        actor.put(made(actor.outbox.actor, segment, index, after_restart=cut and index == 0))


def log_of(folder: Path) -> list[tuple[str, int, int]]:
    return [(e.actor, e.segment, e.index) for e in read_events(folder / "replay", IDENTITY) if isinstance(e, Step)]


def whole(segments: int, actor: str = "a") -> list[tuple[str, int, int]]:
    return [(actor, segment, index) for segment in range(segments) for index in range(LENGTH)]


def test_steps_come_to_the_disk_and_weights_come_back(actor: StreamActor, learning: Learning, tmp_path: Path):
    assert "no learner has spoken" in actor.objection()
    exchange(actor, learning)
    assert actor.objection() == ""
    assert actor.renew()
    episode(actor)
    settle(actor, learning)
    assert len(actor.outbox) == 0
    assert log_of(tmp_path / "run") == whole(1)
    assert learning.run.learner.updates == LENGTH - CONFIG.schedule.first_step
    assert actor.objection() == ""
    assert actor.renew()
    assert actor.report().applied == learning.run.learner.updates
    assert actor.report().staleness == 0


def test_actor_waits_for_the_learner_that_owes_and_for_its_weights(actor: StreamActor, learning: Learning):
    exchange(actor, learning)
    actor.renew()
    for _ in range(2):
        episode(actor)
    exchange(actor, learning)
    assert "has not kept" in actor.objection()
    assert learning.learner.work()
    actor.hear(learning.air.words[-1])
    assert actor.objection() == "the learner owes too many updates"
    assert actor.report().staleness == 0
    while learning.learner.work():
        pass
    actor.hear(learning.air.words[-1])
    assert "have not come yet" in actor.objection()
    assert actor.report().staleness == 8
    actor.offer(learning.air.packets[-1])
    assert actor.objection() == ""
    assert [p.version.updates for p in learning.air.packets] == [0, 8], "once for the debt of an episode"


def test_weights_are_taken_when_an_episode_begins_or_at_once_where_that_is_asked_for(tmp_path, clock, learning):
    patient, hasty = (
        actor_in(tmp_path, clock, name, weights_when=when) for name, when in (("p", "episode"), ("h", "now"))
    )
    for one in (patient, hasty):
        exchange(one, learning)
    assert (patient.report().applied, hasty.report().applied) == (-1, 0)
    patient.renew()
    assert patient.report().applied == 0
    with pytest.raises(UnknownNameError, match="episode"):
        actor_in(tmp_path, clock, "x", weights_when="never")


def test_bad_weights_are_refused_and_the_episode_goes_on_with_the_old_ones(actor: StreamActor, learning: Learning):
    exchange(actor, learning)
    actor.renew()
    good = learning.air.packets[-1]
    actor.offer(replace(good, version=WeightsVersion(1, 5), data=good.data[:-1]))
    assert not actor.renew()
    assert (actor.report().applied, actor.report().refused) == (0, 1)
    assert "SHA-256" in actor.report().trouble
    actor.hear(replace(learning.air.words[-1], newest=WeightsVersion(1, 5)))
    assert actor.objection() == "", "refused weights are not waited for"


def test_weights_go_out_now_and_then_while_updates_are_owed(tmp_path: Path, clock: ManualClock):
    free = replace(CONFIG, schedule=ScheduleConfig(training_starts=4))  # as fast as it can
    learning = Learning(tmp_path / "run", clock, free, publish_s=2.0)
    actor = actor_in(tmp_path, clock)
    exchange(actor, learning)
    episode(actor)
    exchange(actor, learning)
    for _ in range(50):
        assert learning.learner.work()
        clock.advance_ns(NS_PER_S // 10)
    assert [p.version.updates for p in learning.air.packets] == [0, 21, 41]
    actor.close()
    learning.run.store.close()


def test_word_that_lets_an_episode_begin_names_the_weights_of_the_last_one(actor: StreamActor, learning: Learning):
    exchange(actor, learning)
    actor.renew()
    episode(actor)
    for parcel in actor.to_send():  # the learner keeps pace: only the update of the last step is left when that comes
        learning.learner.take(parcel.data)
        learning.learner.work()
        actor.hear(learning.air.words[-1])
    assert learning.run.learner.updates == LENGTH - CONFIG.schedule.first_step
    assert len(actor.outbox) == 0
    assert "have not come yet" in actor.objection()
    actor.offer(learning.air.packets[-1])
    assert actor.objection() == ""
    assert actor.renew()
    assert actor.report().applied == learning.run.learner.updates


def test_silent_learner_is_not_waited_for_until_the_outbox_is_half_full(tmp_path, clock, learning):
    actor = actor_in(tmp_path, clock, outbox=OutboxConfig(limit_steps=4 * LENGTH))
    exchange(actor, learning)
    actor.renew()
    episode(actor)
    assert "has not kept" in actor.objection()
    clock.advance_ns(round(SILENCE_S * NS_PER_S))
    assert "has not kept" in actor.objection()
    clock.advance_ns(1)
    assert not actor.learner_is_heard
    assert actor.objection() == ""
    assert "silent" in actor.report().trouble
    episode(actor)
    assert actor.objection() == ""
    episode(actor)
    assert "more than half" in actor.objection()
    settle(actor, learning)
    assert actor.objection() == ""
    assert log_of(tmp_path / "run") == whole(3)
    actor.close()


def test_learner_is_waited_for_as_long_as_was_asked(tmp_path, clock, learning):
    actor = actor_in(tmp_path, clock, silence_s=60.0)
    exchange(actor, learning)
    actor.renew()
    episode(actor)
    clock.advance_ns(60 * NS_PER_S)
    assert "has not kept" in actor.objection()
    clock.advance_ns(1)
    assert actor.objection() == ""
    actor.close()
    for silence_s in (0.0, float("nan")):
        with pytest.raises(ConfigurationError, match="silence must be positive"):
            actor_in(tmp_path, clock, "other", silence_s=silence_s)


def test_killed_learner_goes_on_from_its_log_and_asks_for_the_rest(tmp_path, clock, learning, actor):
    exchange(actor, learning)
    actor.renew()
    episode(actor)
    settle(actor, learning)
    episode(actor, 3)
    exchange(actor, learning)  # taken, but not sealed
    assert learning.run.schedule.steps == LENGTH + 3
    learning.kill()
    again = Learning(tmp_path / "run", clock)
    assert again.air.packets[-1].version == WeightsVersion(2, 0), "it was never saved"
    assert again.run.schedule.steps == LENGTH
    settle(actor, again)
    clock.advance_ns(2 * NS_PER_S)  # the segment goes on: it is sealed by time
    settle(actor, again)
    assert log_of(tmp_path / "run") == [*whole(1), ("a", 1, 0), ("a", 1, 1), ("a", 1, 2)]
    assert again.learner.report().duplicates == 0
    assert actor.renew(), "weights of before the kill give way to those of the learner that lives"
    again.run.store.close()


def test_killed_actor_resends_and_begins_a_new_segment(tmp_path, clock, learning):
    first = actor_in(tmp_path, clock)
    exchange(first, learning)
    episode(first)
    episode(first, 2)
    first.outbox._journal._lock.close()  # killed
    again = actor_in(tmp_path, clock)
    settle(again, learning)
    clock.advance_ns(2 * NS_PER_S)
    settle(again, learning)
    episode(again)
    settle(again, learning)
    assert log_of(tmp_path / "run") == [*whole(1), ("a", 1, 0), ("a", 1, 1), *whole(3)[2 * LENGTH :]]
    assert audit(learning.run.mixture.online).is_clean
    again.close()


def test_tail_of_a_segment_that_was_cut_off_is_waited_for_though_the_next_one_begins(tmp_path, clock, learning):
    """A restart may excuse what will never come; what is only late must not be taken for that."""
    first = actor_in(tmp_path, clock)
    exchange(first, learning)
    episode(first, 3)
    first.outbox._journal._lock.close()  # killed
    again = actor_in(tmp_path, clock)
    again.hear(learning.air.words[-1])
    episode(again)
    sent = again.to_send()
    for parcel in (sent[0], sent[1], sent[3], sent[4]):  # the third one is lost on the way
        learning.learner.take(parcel.data)
    assert "step 2 of segment 0 of actor 'a' is missing" in learning.learner.word().refusals["a"]
    for parcel in sent[2:]:
        learning.learner.take(parcel.data)
    learning.learner.work()
    assert log_of(tmp_path / "run") == [*whole(1)[:3], *whole(2)[LENGTH:]]
    again.close()


def test_actor_that_has_served_another_run_may_begin_with_a_late_segment(tmp_path, clock, learning):
    actor = actor_in(tmp_path, clock)
    exchange(actor, learning)
    episode(actor)
    settle(actor, learning)
    other = Learning(tmp_path / "other", clock)
    exchange(actor, other)
    episode(actor)
    settle(actor, other)
    assert log_of(tmp_path / "other") == whole(2)[LENGTH:]
    actor.close()
    other.run.store.close()


def test_several_actors_feed_one_learner(tmp_path, clock, learning):
    actors = [actor_in(tmp_path, clock, name) for name in "abc"]
    for _ in range(3):
        for one in actors:
            exchange(one, learning)
            episode(one)
        for one in actors:
            settle(one, learning)
    log = log_of(tmp_path / "run")
    for one in actors:
        assert [place for place in log if place[0] == one.outbox.actor] == whole(3, one.outbox.actor)
        one.close()
    assert learning.learner.report().actors == dict.fromkeys("abc", 3 * LENGTH)
    assert audit(learning.run.mixture.online).is_clean


def test_messages_that_are_no_steps_are_counted_by_name_and_hold_nothing_up(tmp_path, clock, learning, actor):
    exchange(actor, learning)
    foreign = StepCodec(replace(IDENTITY, robot="franka")).encode(made("stranger", 0, 0), updates=0)
    early = StepCodec(IDENTITY).encode(made("early", 0, 3), updates=0)
    for data in (b"no step", foreign, early):
        learning.learner.take(data)
    episode(actor)
    settle(actor, learning)
    report = learning.learner.report()
    assert report.refused == 3
    assert "no header" in report.refusals[""]
    assert "robot: twin here, franka there" in report.refusals["stranger"]
    assert "must have index 0" in report.refusals["early"]
    assert learning.air.words[-1].refusals.keys() == {"stranger", "early"}
    assert log_of(tmp_path / "run") == whole(1)
    learning.learner.take(StepCodec(IDENTITY).encode(made("early", 0, 0), updates=0))
    assert "early" not in learning.learner.word().refusals


def test_message_of_somebody_who_bears_an_actors_name_holds_it_up_for_a_while_only(clock, learning, actor):
    exchange(actor, learning)
    actor.renew()
    learning.learner.take(StepCodec(replace(IDENTITY, robot="franka")).encode(made("a", 0, 0)))
    learning.learner.work()
    exchange(actor, learning)
    assert "robot: twin here, franka there" in actor.objection()
    clock.advance_ns(31 * NS_PER_S)
    learning.learner.work()
    exchange(actor, learning)
    assert actor.objection() == ""


def test_steps_that_come_twice_are_ignored(learning: Learning, tmp_path: Path):
    codec = StepCodec(IDENTITY)
    for index in (0, 1, 1, 0, 2, 3, 2, 4, 5, 5):
        learning.learner.take(codec.encode(made("a", 0, index), updates=0))
    learning.learner.work()
    assert log_of(tmp_path / "run") == whole(1)
    assert learning.learner.report().duplicates == 4


def test_staleness_is_how_many_updates_the_deciding_weights_were_behind(tmp_path, clock, learning, actor):
    exchange(actor, learning)
    actor.renew()
    for _ in range(2):
        episode(actor)
        settle(actor, learning)
    episode(actor)  # with the weights of 0 updates; 8 were made since
    settle(actor, learning)
    report = learning.learner.report()
    assert report.most_staleness == 2 * LENGTH - CONFIG.schedule.first_step
    assert 0 < report.mean_staleness < report.most_staleness
    assert report.schedule.achieved == 1.0


def test_learner_that_is_saved_goes_on_with_its_updates_and_leaves_a_policy(tmp_path, clock, learning, actor):
    exchange(actor, learning)
    episode(actor)
    settle(actor, learning)
    clock.advance_ns(121 * NS_PER_S)
    learning.learner.work()
    learning.kill()
    again = Learning(tmp_path / "run", clock)
    assert again.run.learner.updates == 2
    assert again.air.packets[-1].version == WeightsVersion(2, 2)
    policy = HilSerlPolicy.from_checkpoint(read_checkpoint(tmp_path / "run" / POLICY_FOLDER))
    own = again.run.learner.acting_state()
    assert all(np.array_equal(t.numpy(), own[n].numpy()) for n, t in policy.networks.state_dict().items())
    again.run.store.close()


def test_update_that_is_not_finite_ends_the_learning_and_not_the_keeping(learning, actor, monkeypatch, tmp_path):
    def poisoned(*_: object) -> None:
        raise NonFiniteError("critic loss not finite")

    exchange(actor, learning)
    actor.renew()
    monkeypatch.setattr(learning.run.learner, "update", poisoned)
    for _ in range(3):
        episode(actor)
        settle(actor, learning)
    report = learning.learner.report()
    assert "critic loss not finite" in report.trouble
    assert log_of(tmp_path / "run") == whole(3)
    assert actor.objection() == "", "nobody waits for updates that will never be made"
    assert len(learning.air.packets) == 1


def test_disk_that_takes_nothing_acknowledges_nothing_and_takes_no_more_than_it_may(
    tmp_path, clock, actor, monkeypatch
):
    learning = Learning(tmp_path / "run", clock, most_unsealed=8)
    exchange(actor, learning)

    def full() -> None:
        raise CheckpointError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(learning.run.store, "flush", full)
        for _ in range(3):
            episode(actor)
        for _ in range(5):
            exchange(actor, learning)
            learning.learner.work()
        assert len(actor.outbox) == 3 * LENGTH
        assert learning.run.store.unsealed == 8
        assert "disk full" in learning.learner.report().trouble
        assert "takes nothing" in actor.objection()
    for _ in range(3):
        clock.advance_ns(30 * NS_PER_S)
        exchange(actor, learning)
        settle(actor, learning)
    assert log_of(tmp_path / "run") == whole(3)
    assert learning.learner.report().trouble == ""
    learning.run.store.close()


def test_learner_of_another_robot_is_told_apart_by_name(tmp_path: Path, clock: ManualClock):
    other = StreamActor(policy_of(), replace(IDENTITY, max_step_m=0.5), "a", tmp_path / "a", clock)
    learning = Learning(tmp_path / "run", clock)
    exchange(other, learning)
    assert "max_step_m: 0.5 here, 0.02 there" in other.objection(), "no episode begins whose steps nobody takes"
    other.close()
    learning.run.store.close()


def test_intervals_that_are_none_are_refused():
    with pytest.raises(ConfigurationError, match="flush_s"):
        StreamConfig(flush_s=0.0)


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_lost_or_doubled_whatever_is_killed_dropped_or_parted(tmp_path: Path, clock: ManualClock, seed: int):
    rng = np.random.default_rng(seed)
    folder = tmp_path / "run"
    box = OutboxConfig(window=8, first_wait_s=1.0, longest_wait_s=4.0)
    learning = Learning(folder, clock, flush_s=0.3, save_s=3.0)
    names = ("a", "b")
    actors = {name: actor_in(tmp_path, clock, name, outbox=box) for name in names}
    put: dict[str, list[tuple[str, int, int]]] = {name: [] for name in names}
    places: dict[str, tuple[int, int] | None] = dict.fromkeys(names)
    kills = {"actor": 0, "learner": 0}
    parted_until = 0
    for _ in range(400):
        clock.advance_ns(NS_PER_S // 20)
        if rng.random() < 0.02:
            learning.kill()
            learning = Learning(folder, clock, flush_s=0.3, save_s=3.0)
            kills["learner"] += 1
        for name in names:
            if rng.random() < 0.02:
                actors[name].outbox._journal._lock.close()
                actors[name] = actor_in(tmp_path, clock, name, outbox=box)
                places[name] = None
                kills["actor"] += 1
            place, actor = places[name], actors[name]
            if place is None and actor.outbox.word is not None and len(actor.outbox) < 40:
                place = (actor.outbox.next_segment, 0)
            if place is not None:
                segment, index = place
                actor.put(made(name, segment, index, after_restart=index == 0 and actor.outbox.is_cut))
                put[name].append((name, segment, index))
                places[name] = (segment, index + 1) if index + 1 < LENGTH else None
        if rng.random() < 0.01:
            parted_until = clock.now_ns() + int(rng.integers(5)) * NS_PER_S
        together = clock.now_ns() >= parted_until
        for actor in actors.values():
            sent = actor.to_send()
            for parcel in sent if together else []:
                if rng.random() < 0.9:
                    learning.learner.take(parcel.data)
            if together and rng.random() < 0.5:
                actor.hear(learning.air.words[-1])
        learning.learner.work()
    for _ in range(400):
        clock.advance_ns(NS_PER_S // 10)
        for actor in actors.values():
            exchange(actor, learning)
        learning.learner.work()
    log = log_of(folder)
    assert min(kills.values()) >= 2, "nothing was tried"
    for name, actor in actors.items():
        assert [place for place in log if place[0] == name] == put[name]
        assert len(actor.outbox) == 0
    assert audit(learning.run.mixture.online).is_clean
    assert learning.run.schedule.steps == len(log)
    while learning.learner.work():
        pass
    assert learning.run.schedule.report().achieved == pytest.approx(1.0)
    for one in (learning.run.store, *actors.values()):
        one.close()
