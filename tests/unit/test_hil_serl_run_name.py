"""A run keeps its name for ever, and counts how often its learner was started."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.hil_serl.config import EncoderConfig, ModelConfig
from policies.hil_serl.run_name import FILE, next_start
from policies.hil_serl.untrained import untrained_policy
from tutelage_core.contract import check_fit, load_contract
from tutelage_core.errors import CheckpointError, UnknownNameError

pytestmark = pytest.mark.unit


def test_name_stays_and_starts_are_counted(tmp_path: Path):
    starts = [next_start(tmp_path / "run") for _ in range(3)]
    assert len({start.run for start in starts}) == 1
    assert [start.start for start in starts] == [1, 2, 3]
    assert next_start(tmp_path / "other").run != starts[0].run


@pytest.mark.parametrize("content", ["", "no json", "[]", '{"run": "r"}', '{"run": "r", "start": "1"}'])
def test_damaged_name_is_refused_with_its_file(tmp_path: Path, content: str):
    (tmp_path / FILE).write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointError, match=FILE):
        next_start(tmp_path)
    assert (tmp_path / FILE).read_text(encoding="utf-8") == content


def test_folder_that_cannot_be_written_is_told(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="cannot be written"):
        next_start(tmp_path / "file" / "run")


def test_untrained_policy_fits_its_robot_and_looks_through_the_cameras_that_are_named():
    contract = load_contract("twin")
    model = ModelConfig(encoder=EncoderConfig(embeddings=2, camera_features=8))
    policy = untrained_policy(contract, model, ("wrist",), ("PickCube",))
    check_fit(policy.spec, contract)
    assert tuple(policy.spec.cameras) == ("wrist",)
    assert policy.spec.tasks == ("PickCube",)
    assert policy.scales.action.max_step_m == contract.safety.max_step_m
    with pytest.raises(UnknownNameError, match="wrist"):
        untrained_policy(contract, model, ("wrst",))
