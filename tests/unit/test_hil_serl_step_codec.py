"""A step on its way: what goes in comes out to the last bit, and what is no step of ours is refused by name."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load, save

from policies.hil_serl.step_codec import StepCodec, StepLabel, identity_text
from policies.hil_serl.transition import EncodedObservation, ReplayError
from tests.unit.hil_serl_replay_samples import IDENTITY, LAYOUT, observed, segment_of, step
from tests.unit.test_hil_serl_replay_store import same
from tutelage_core.errors import ContractMismatchError

pytestmark = pytest.mark.unit

CODEC = StepCodec(IDENTITY)


def metadata_of(data: bytes) -> dict[str, str]:
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size])["__metadata__"]


def altered(
    data: bytes,
    *,
    arrays: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]] = lambda a: a,
    metadata: Callable[[dict[str, str]], dict[str, str]] = lambda m: m,
) -> bytes:
    """Return the step with other arrays or metadata, in a sound safetensors file."""
    return save(arrays(dict(load(data))), metadata(metadata_of(data)))


def with_label(**fields: object) -> Callable[[dict[str, str]], dict[str, str]]:
    return lambda m: {**m, "label": json.dumps({**json.loads(m["label"]), **fields})}


def test_every_kind_of_step_comes_back_to_the_last_bit():
    steps = [
        *segment_of(5, 3, human=frozenset({1}), end="terminated"),
        *segment_of(100, 2, segment=1, end="truncated"),
        step(9, segment=2, reward=math.nan, after_restart=True),
    ]
    for number, sent in enumerate(steps):
        data = CODEC.encode(sent, follows=3, updates=number)
        assert same(CODEC.decode(data), sent)
        assert CODEC.label(data) == StepLabel(sent.actor, sent.segment, sent.index, sent.ends_segment, 3, number)


def test_step_of_another_robot_or_trunk_is_refused_by_name():
    other = StepCodec(replace(IDENTITY, robot="franka", encoder_sha256="ab" * 32))
    data = other.encode(step(1), updates=0)
    with pytest.raises(ContractMismatchError) as refused:
        CODEC.decode(data)
    assert "robot: twin here, franka there" in str(refused.value)
    assert "encoder_sha256" in str(refused.value)
    assert "step 0 of segment 0 of actor 'a'" in str(refused.value)


def test_step_of_another_layout_is_refused_by_name():
    other = StepCodec(replace(IDENTITY, layout=replace(LAYOUT, maps={"front": (1, 3, 1, 2)})))
    seen = EncodedObservation({"front": np.zeros((1, 3, 1, 2), np.float16)}, observed(1).state, observed(1).images)
    with pytest.raises(ContractMismatchError, match=r"layout\.maps\.front"):
        CODEC.decode(other.encode(replace(step(1), observation=seen), updates=0))


def test_identity_is_the_same_text_whatever_the_order_of_its_cameras():
    turned = replace(LAYOUT, maps=dict(reversed(list(LAYOUT.maps.items()))))
    assert identity_text(replace(IDENTITY, layout=turned)) == identity_text(IDENTITY)


@pytest.mark.parametrize("where", ["observation", "final_observation"])
def test_numbers_that_are_none_are_refused_where_they_are_sent_and_where_they_come(where: str):
    bad = observed(7)
    bad.maps["front"][0, 0, 0, 0] = np.nan
    ending = step(6, truncated=True)
    with pytest.raises(ReplayError, match="not finite"):
        CODEC.encode(replace(ending, **{where: bad}), updates=0)

    name = "obs/maps/front" if where == "observation" else "final/maps/front"

    def poisoned(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {**arrays, name: np.full_like(arrays[name], np.inf)}

    with pytest.raises(ReplayError, match="not finite"):
        CODEC.decode(altered(CODEC.encode(ending, updates=0), arrays=poisoned))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda a: {**a, "more": np.zeros(1)}, "more"),
        (lambda a: {k: v for k, v in a.items() if k != "reward"}, "reward"),
        (lambda a: {**a, "reward": a["reward"].astype(np.float64)}, "reward"),
        (lambda a: {**a, "obs/maps/front": a["obs/maps/front"].astype(np.float32)}, "obs/maps/front"),
        (lambda a: {**a, "action": np.full((1, 6), 1.5, np.float32)}, "action"),
        (lambda a: {**a, "gripper": np.array([7], np.int8)}, "7"),
        (lambda a: {**a, "source": np.array([99], np.int8)}, "99"),
        (lambda a: {**a, "reward": np.array([np.inf], np.float32)}, "infinite"),
        (lambda a: {**a, "actor": np.array([3], np.int32)}, "index"),
        (lambda a: {**a, "index": np.array([5], np.int64)}, "label and content differ"),
        (lambda a: {n: np.concatenate([v, v]) if not n.startswith("final/") else v for n, v in a.items()}, "2 steps"),
        (lambda a: {**a, "truncated": np.array([True])}, "final observation"),
    ],
)
def test_arrays_that_are_no_step_are_refused(change, told: str):
    with pytest.raises(ReplayError, match=told):
        CODEC.decode(altered(CODEC.encode(step(1), updates=0), arrays=change))


@pytest.mark.parametrize(
    "change",
    [
        with_label(surprise=1),
        with_label(segment="0"),
        with_label(index=1.0),
        lambda m: {**m, "surprise": "1"},
        lambda m: {k: v for k, v in m.items() if k != "identity"},
        lambda m: {**m, "identity": "{}"},
        lambda m: {**m, "label": "[" * 5000},
    ],
)
def test_headers_that_are_none_of_ours_are_refused(change):
    with pytest.raises(ReplayError, match="header"):
        CODEC.decode(altered(CODEC.encode(step(1), updates=0), metadata=change))


def test_damaged_cut_and_foreign_bytes_are_refused_whatever_they_are():
    data = CODEC.encode(step(3, truncated=True), updates=0)
    for foreign in (b"", b"\x00" * 8, pickle.dumps({"a": 1}), b"\xff" * 64, data[:40], data[:-1], data + b"\x00"):
        with pytest.raises(ReplayError):
            CODEC.decode(foreign)


def test_step_that_is_larger_than_any_of_its_layout_is_refused_before_it_is_opened():
    data = altered(
        CODEC.encode(step(3), updates=0), arrays=lambda a: {**a, "more": np.zeros(CODEC.most_bytes, np.uint8)}
    )
    with pytest.raises(ReplayError, match="has at most"):
        CODEC.label(data)
