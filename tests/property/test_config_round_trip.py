"""A contract or spec that is written as plain data, YAML or JSON is read back as it was."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage_core.config import from_mapping, to_mapping
from tutelage_core.contract import (
    CAMERA_NAME,
    STATE_KEYS,
    ArmContract,
    CameraContract,
    CameraNeed,
    PolicySpec,
    RobotContract,
    SafetyLimits,
)

pytestmark = pytest.mark.property

QUICK = settings(max_examples=80, deadline=None)

CAMERA_NAMES = st.from_regex(CAMERA_NAME, fullmatch=True)
NAMES = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), min_size=1, max_size=8)
POSITIVE = st.floats(0.0, 1e6, exclude_min=True)
ANGLES = st.floats(0.0, math.pi / 2, exclude_min=True, exclude_max=True)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
OPTIONS = st.dictionaries(NAMES, PLAIN, max_size=3)
CAMERAS = st.builds(
    CameraContract, st.integers(1, 4096), st.integers(1, 4096), st.floats(0.0, 1000.0, exclude_min=True), NAMES, OPTIONS
)
TIMEOUT_AND_INTERVAL = (
    st.tuples(POSITIVE, st.floats(0.0, 1.0)).map(lambda p: (p[0], p[0] * p[1])).filter(lambda p: p[1] < p[0])
)
BOXES = st.tuples(*[st.tuples(st.floats(-1e3, 0.0), st.floats(1e-3, 1e3))] * 3)
LIMITS = st.tuples(BOXES, TIMEOUT_AND_INTERVAL).flatmap(
    lambda drawn: st.builds(
        SafetyLimits,
        st.just(tuple(low for low, _ in drawn[0])),
        st.just(tuple(high for _, high in drawn[0])),
        POSITIVE,
        ANGLES,
        st.floats(1.0, 100.0),
        POSITIVE,
        ANGLES,
        POSITIVE,
        st.just(drawn[1][0]),
        st.just(drawn[1][1]),
        POSITIVE,
        st.integers(1, 100),
    )
)
ARMS = st.lists(st.tuples(NAMES, st.floats(-10, 10)), max_size=7).flatmap(
    lambda joints: st.builds(
        ArmContract, NAMES, st.just(tuple(n for n, _ in joints)), st.just(tuple(q for _, q in joints)), OPTIONS
    )
)
STATE = st.lists(st.sampled_from(sorted(STATE_KEYS)), unique=True).map(tuple)
RATES = st.floats(0.0, 1000.0, exclude_min=True)
ROBOTS = st.builds(
    RobotContract,
    NAMES,
    RATES,
    st.just("tcp_step"),
    ARMS,
    st.dictionaries(CAMERA_NAMES, CAMERAS, max_size=3),
    STATE,
    LIMITS,
)
SPECS = st.builds(
    PolicySpec,
    NAMES,
    st.dictionaries(NAMES, st.builds(CameraNeed, st.integers(), st.integers()), max_size=3),
    STATE,
    NAMES,
    RATES,
    st.integers(),
    st.integers(),
    st.integers(),
    st.lists(NAMES).map(tuple),
)


@QUICK
@given(ROBOTS)
def test_robot_survives_plain_data_and_yaml(robot: RobotContract) -> None:
    data = to_mapping(robot)
    assert from_mapping(data, RobotContract, "here") == robot
    assert from_mapping(yaml.safe_load(yaml.safe_dump(data)), RobotContract, "here") == robot


@QUICK
@given(SPECS)
def test_spec_survives_json_as_a_checkpoint_holds_it(spec: PolicySpec) -> None:
    assert from_mapping(json.loads(json.dumps(to_mapping(spec))), PolicySpec, "here") == spec


@QUICK
@given(ROBOTS)
def test_plain_data_shares_nothing_with_the_contract(robot: RobotContract) -> None:
    data = to_mapping(robot)
    kept = replace(robot, cameras=dict(robot.cameras))
    data["cameras"].clear()
    data["safety"]["workspace_min_m"].clear()
    assert robot == kept
