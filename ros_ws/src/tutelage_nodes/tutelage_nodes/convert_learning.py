"""Messages between actors and learner, to the core's words and back."""

from __future__ import annotations

import math
from array import array

from builtin_interfaces.msg import Time
from tutelage_interfaces import msg as ti

from policies.hil_serl.acknowledgement import Acknowledgement, WeightsVersion
from policies.hil_serl.learner_report import LearnerReport
from policies.hil_serl.outbox import Parcel
from policies.hil_serl.segments import Progress
from policies.hil_serl.weights_stream import WeightsPacket

_NOTHING = -1
"""Segment of an actor of which nothing is kept."""


def to_transition_msg(parcel: Parcel) -> ti.Transition:
    """Return the message of a step."""
    label = parcel.label
    return ti.Transition(actor=label.actor, segment=label.segment, index=label.index, data=array("B", parcel.data))


def to_ack_msg(word: Acknowledgement, stamp: Time) -> ti.TransitionAck:
    """Return the message of a learner's word."""
    actors = sorted({*word.progress, *word.refusals})
    so_far = [word.progress.get(actor, Progress(_NOTHING, 0, False)) for actor in actors]
    message = ti.TransitionAck(
        run=word.run,
        start=word.newest.start,
        updates=word.newest.updates,
        wait=word.wait,
        actors=actors,
        segments=[progress.segment for progress in so_far],
        next_indices=[progress.next_index for progress in so_far],
        is_open=[progress.is_open for progress in so_far],
        refusals=[word.refusals.get(actor, "") for actor in actors],
    )
    message.header.stamp = stamp
    return message


def from_ack_msg(message: ti.TransitionAck) -> Acknowledgement:
    """Return the learner's word of a message.

    Raises:
        ValueError: its arrays are of different lengths.
    """
    rows = list(
        zip(message.actors, message.segments, message.next_indices, message.is_open, message.refusals, strict=True)
    )
    return Acknowledgement(
        message.run,
        WeightsVersion(message.start, message.updates),
        {actor: Progress(segment, index, is_open) for actor, segment, index, is_open, _ in rows if segment >= 0},
        {actor: refusal for actor, _, _, _, refusal in rows if refusal},
        message.wait,
    )


def to_weights_msg(packet: WeightsPacket, stamp: Time) -> ti.PolicyWeights:
    """Return the message of new weights."""
    message = ti.PolicyWeights(
        run=packet.run,
        start=packet.version.start,
        updates=packet.version.updates,
        sha256=packet.sha256,
        data=array("B", packet.data),
    )
    message.header.stamp = stamp
    return message


def from_weights_msg(message: ti.PolicyWeights) -> WeightsPacket:
    """Return the weights of a message."""
    version = WeightsVersion(message.start, message.updates)
    return WeightsPacket(message.run, version, message.sha256, bytes(message.data))


def to_learner_status_msg(report: LearnerReport, *, wait: bool, stamp: Time) -> ti.LearnerStatus:
    """Return the message of how a learner does."""
    schedule, metrics = report.schedule, report.metrics
    message = ti.LearnerStatus(
        run=report.name.run,
        start=report.name.start,
        steps=schedule.steps,
        updates=schedule.updates,
        published=report.published,
        updates_per_s=report.updates_per_s,
        achieved_ratio=schedule.achieved,
        target_ratio=math.nan if schedule.target is None else schedule.target,
        owed_steps=schedule.owed_steps,
        starved=schedule.starved,
        wait=wait,
        mean_staleness=report.mean_staleness,
        most_staleness=report.most_staleness,
        online=report.held,
        demonstrations=report.demonstrated,
        unsealed=report.unsealed,
        duplicates=report.duplicates,
        refused=report.refused,
        actors=sorted(report.actors),
        actor_steps=[report.actors[actor] for actor in sorted(report.actors)],
        critic_loss=math.nan if metrics is None else metrics.critic_loss,
        value=math.nan if metrics is None else metrics.value,
        temperature=math.nan if metrics is None else metrics.temperature,
        trouble=report.trouble,
    )
    message.header.stamp = stamp
    return message
