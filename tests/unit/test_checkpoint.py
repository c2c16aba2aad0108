"""Checkpoints: what was saved is what is loaded, and every kind of damage is refused by name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from policies.bc.policy import BcPolicy, make_spec
from policies.bc.training import Training
from policies.checkpoint import Checkpoint, save_checkpoint
from policies.registry import find_checkpoint, load_policy
from policies.sealed_folder import MANIFEST
from tests.unit.bc_samples import QUICK, SMALL, sample_frames
from tutelage_core.errors import CheckpointError, UnknownNameError


@pytest.fixture(scope="module")
def policy() -> BcPolicy:
    training = Training(sample_frames(2, 6), QUICK)
    spec = make_spec(SMALL, training.cameras, action="tcp_step", control_rate_hz=10.0, tasks=("reach",))
    return BcPolicy(spec, training.averaged_network(), training.normalisation)


@pytest.fixture
def folder(policy: BcPolicy, tmp_path: Path) -> Path:
    policy.save(tmp_path / "model", created_by="a test", card="# A card")
    return tmp_path / "model"


def reseal(folder: Path) -> None:
    """Make the manifest agree with the files again, as a careful saboteur would."""
    manifest = json.loads((folder / MANIFEST).read_text())
    for name, entry in manifest["files"].items():
        data = (folder / name).read_bytes()
        entry |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (folder / MANIFEST).write_text(json.dumps(manifest))


def edit_json(path: Path, change: Callable[[dict[str, dict[str, object]]], object]) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    reseal(folder)


def test_loaded_policy_is_the_saved_one(policy: BcPolicy, folder: Path) -> None:
    loaded = load_policy(folder)
    assert isinstance(loaded, BcPolicy)
    assert loaded.spec == policy.spec
    assert loaded.normalisation == policy.normalisation
    ours, theirs = policy.network.learned_state(), loaded.network.learned_state()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert sorted(p.name for p in folder.iterdir()) == ["card.md", MANIFEST, "model.safetensors", "spec.json"]


def test_loading_leaves_the_random_generator_alone(folder: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    load_policy(folder)
    assert torch.equal(torch.rand(1), expected)


def test_half_precision_is_half_the_size_and_runs_in_full(policy: BcPolicy, folder: Path, tmp_path: Path) -> None:
    policy.save(tmp_path / "half", created_by="a test", half=True)
    size = [(f / "model.safetensors").stat().st_size for f in (tmp_path / "half", folder)]
    assert size[0] < 0.6 * size[1]
    loaded = load_policy(tmp_path / "half")
    assert isinstance(loaded, BcPolicy)
    for name, tensor in loaded.network.learned_state().items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, policy.network.learned_state()[name], rtol=1e-3, atol=1e-4)


def test_saving_again_replaces_the_folder_and_leaves_nothing_beside_it(policy: BcPolicy, folder: Path) -> None:
    policy.save(folder, created_by="again")
    assert json.loads((folder / MANIFEST).read_text())["created_by"] == "again"
    assert not (folder / "card.md").exists()
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


def test_weights_that_are_not_finite_are_not_saved(policy: BcPolicy, tmp_path: Path) -> None:
    good = policy.checkpoint()
    for value, half in ((float("nan"), False), (1e6, True)):
        bad = Checkpoint(good.spec, good.model, good.normalisation, {"w": torch.tensor([value])})
        with pytest.raises(CheckpointError, match="'w' is not finite"):
            save_checkpoint(tmp_path / "bad", bad, created_by="a test", half=half)
    assert not (tmp_path / "bad").exists()


def flip_a_bit(folder: Path) -> None:
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-3] ^= 4
    (folder / "model.safetensors").write_bytes(data)


def truncate(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[:-10])


def truncate_and_reseal(folder: Path) -> None:
    truncate(folder)
    reseal(folder)


def set_nan(folder: Path) -> None:
    edit_weights(folder, lambda tensors: tensors["keyframe.bias"].fill_(float("nan")))


def drop_a_tensor(folder: Path) -> None:
    edit_weights(folder, lambda tensors: tensors.pop("keyframe.bias"))


def drop_manifest_entry(folder: Path) -> None:
    edit_json(folder / MANIFEST, lambda manifest: manifest["files"].pop("spec.json"))


def escape_the_folder(folder: Path) -> None:
    edit_json(folder / MANIFEST, lambda manifest: manifest["files"].update({"../secret": {"sha256": "", "bytes": 0}}))


def misspell_a_setting(folder: Path) -> None:
    edit_json(folder / "spec.json", lambda spec: spec["model"].update({"chunks": 3}))
    reseal(folder)


def disagree(folder: Path) -> None:
    edit_json(folder / "spec.json", lambda spec: spec["policy"].update({"chunk": 9}))
    reseal(folder)


def drop_a_section(folder: Path) -> None:
    edit_json(folder / "spec.json", lambda spec: spec.pop("normalisation"))
    reseal(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip_a_bit, r"model\.safetensors: SHA-256 .* changed or damaged"),
        (truncate, r"model\.safetensors: \d+ bytes, the manifest says"),
        (truncate_and_reseal, r"model\.safetensors: not a safetensors file"),
        (set_nan, r"model\.safetensors: tensor 'keyframe.bias' holds values that are not finite"),
        (drop_a_tensor, r"model\.safetensors: .*missing tensor 'keyframe.bias'"),
        (lambda folder: (folder / "model.safetensors").unlink(), r"model\.safetensors: cannot be read: No such file"),
        (lambda folder: (folder / MANIFEST).unlink(), r"manifest\.json: cannot be read"),
        (lambda folder: (folder / MANIFEST).write_text("{"), r"manifest\.json: not valid JSON"),
        (lambda folder: edit_json(folder / MANIFEST, lambda m: m.update(schema=99)), r"manifest\.json: schema 99"),
        (lambda folder: edit_json(folder / MANIFEST, lambda m: m.update(kind="cake")), r"manifest\.json: is a 'cake'"),
        (drop_manifest_entry, r"manifest\.json: does not list 'spec\.json'"),
        (escape_the_folder, r"manifest\.json: illegal entry '\.\./secret'"),
        (misspell_a_setting, r"spec\.json: model: ?.*unknown key|unknown key 'chunks' in .*spec\.json: model"),
        (disagree, r"spec or scales say chunk = 9, network has 4"),
        (drop_a_section, r"spec\.json: section 'normalisation' is missing"),
    ],
)
def test_damage_is_refused_by_name(folder: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(folder)
    with pytest.raises(CheckpointError, match=message):
        load_policy(folder)


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere: no such folder"):
        load_policy(tmp_path / "nowhere")


def test_unknown_kind_of_policy_is_refused(folder: Path) -> None:
    edit_json(folder / "spec.json", lambda spec: spec["policy"].update({"name": "oracle"}))
    reseal(folder)
    with pytest.raises(UnknownNameError, match=r"unknown policy 'oracle' in .*spec\.json; legal: .*bc"):
        load_policy(folder)


def test_checkpoint_is_found_by_path_and_unknown_names_are_refused(folder: Path) -> None:
    assert find_checkpoint(folder) == folder
    assert find_checkpoint(str(folder)) == folder
    with pytest.raises(UnknownNameError, match="unknown policy checkpoint 'nothing_of_this_name'"):
        find_checkpoint("nothing_of_this_name")


def test_loaded_policy_acts(folder: Path, policy: BcPolicy) -> None:
    from tutelage_core.contract import STATE_KEYS
    from tutelage_core.types import Observation

    rng = np.random.default_rng(0)
    need = policy.spec.cameras["front"]
    obs = Observation(
        0,
        {c: rng.integers(0, 255, (need.height, need.width, 3), np.uint8) for c in policy.spec.cameras},
        {key: rng.normal(size=STATE_KEYS[key]) for key in policy.spec.state_keys},
    )
    np.testing.assert_array_equal(load_policy(folder).act([obs]).steps, policy.act([obs]).steps)
