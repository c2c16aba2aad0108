"""What actors and learner say survives its message."""

from __future__ import annotations

import hashlib
import math

import pytest
from builtin_interfaces.msg import Time

from policies.hil_serl.acknowledgement import Acknowledgement, WeightsVersion
from policies.hil_serl.learner_report import LearnerReport
from policies.hil_serl.outbox import Parcel
from policies.hil_serl.run_name import RunStart
from policies.hil_serl.schedule import ScheduleReport
from policies.hil_serl.segments import Progress
from policies.hil_serl.step_codec import StepLabel
from policies.hil_serl.weights_stream import WeightsPacket
from tutelage_nodes import convert_learning

pytestmark = pytest.mark.ros

STAMP = Time(sec=3, nanosec=5)


def test_word_comes_back_whole_with_actors_of_which_nothing_is_kept():
    word = Acknowledgement(
        "run",
        WeightsVersion(2, 700),
        {"a": Progress(0, 0, True), "b": Progress(7, 12, False)},
        {"b": "no", "stranger": "another robot"},
        wait=True,
    )
    message = convert_learning.to_ack_msg(word, STAMP)
    assert message.header.stamp == STAMP
    assert convert_learning.from_ack_msg(message) == word


def test_word_whose_arrays_differ_in_length_is_refused():
    message = convert_learning.to_ack_msg(
        Acknowledgement("run", WeightsVersion(1, 0), {"a": Progress(0, 1, True)}), STAMP
    )
    message.refusals = []
    with pytest.raises(ValueError, match="argument"):
        convert_learning.from_ack_msg(message)


def test_weights_and_steps_keep_every_byte():
    data = bytes(range(256)) * 7
    packet = WeightsPacket("run", WeightsVersion(3, 9), hashlib.sha256(data).hexdigest(), data)
    assert convert_learning.from_weights_msg(convert_learning.to_weights_msg(packet, STAMP)) == packet
    message = convert_learning.to_transition_msg(Parcel(StepLabel("a", 4, 5, True, -1, 3), data))
    assert (message.actor, message.segment, message.index, bytes(message.data)) == ("a", 4, 5, data)


@pytest.mark.parametrize("target", [None, 2.0])
def test_status_of_a_learner_that_runs_freely_has_no_target(target: float | None):
    schedule = ScheduleReport(10, 20, 2.0, target, 0.5, 0.25)
    report = LearnerReport(
        RunStart("run", 1), schedule, 20, 3.5, 1.5, 4, 8, 2, 1, 6, {}, 5, {"b": 1, "a": 9}, None, "why"
    )
    message = convert_learning.to_learner_status_msg(report, wait=True, stamp=STAMP)
    assert (message.steps, message.updates, message.published, message.updates_per_s) == (10, 20, 20, 3.5)
    assert message.target_ratio == target or (target is None and math.isnan(message.target_ratio))
    assert (list(message.actors), list(message.actor_steps)) == (["a", "b"], [9, 1])
    assert (message.online, message.demonstrations, message.unsealed) == (8, 2, 1)
    assert (message.duplicates, message.refused, message.wait, message.trouble) == (6, 5, True, "why")
    assert math.isnan(message.critic_loss)
