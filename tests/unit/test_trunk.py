"""A trained trunk: sealed, frozen, refused when damaged, and read by policies like any other encoder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from policies.bc.config import BcModelConfig
from policies.bc.model import BcNetwork
from policies.bc.training import Training
from tests.unit.bc_samples import QUICK, SIDE, sample_frames
from tutelage_core.contract import CameraNeed
from tutelage_core.encoders.image import ImageEncoder, build_image_encoder, frozen_digest
from tutelage_core.encoders.trunk import TrunkNetwork, TrunkShape
from tutelage_core.encoders.trunk_folder import SPEC, WEIGHTS, TrunkSpec, save_trunk
from tutelage_core.errors import CheckpointError, ConfigurationError, UnknownNameError

SMALL = TrunkShape(channels=8, stem=(4, 8), middle=(8, 12, 16))


def sealed(folder: Path, seed: int = 0, shape: TrunkShape = SMALL) -> str:
    """Seal a trunk with random weights for images of `SIDE` px and return its encoder's name."""
    torch.manual_seed(seed)
    spec = TrunkSpec("state", SIDE, SIDE, ("front",), shape)
    save_trunk(folder, spec, TrunkNetwork(shape), created_by="a test", card="# a trunk")
    return f"trunk:{folder}"


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randint(0, 256, (3, 3, SIDE, SIDE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("stride", [4, 8])
def test_trunk_keeps_the_promises_of_an_encoder(tmp_path: Path, images: torch.Tensor, stride: int) -> None:
    encoder = build_image_encoder(sealed(tmp_path / "t", shape=replace(SMALL, stride=stride)), SIDE, SIDE)
    assert isinstance(encoder, ImageEncoder)
    assert encoder.grid == (SIDE // stride, SIDE // stride)
    assert encoder(images).shape == (3, encoder.channels, *encoder.grid)
    torch.testing.assert_close(encoder(images)[1:2], encoder(images[1:2]), rtol=1e-4, atol=1e-5)


def test_trunk_is_frozen(tmp_path: Path, images: torch.Tensor) -> None:
    encoder = build_image_encoder(sealed(tmp_path / "t"), SIDE, SIDE)
    assert isinstance(encoder, torch.nn.Module)
    assert not encoder.trainable
    assert not encoder.train().training
    assert not any(p.requires_grad for p in encoder.parameters())
    assert not encoder(images).requires_grad


def test_sealed_weights_come_back_bit_for_bit(tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = TrunkNetwork(SMALL)
    save_trunk(tmp_path / "t", TrunkSpec("state", SIDE, SIDE, ("front",), SMALL), network, created_by="a", card="b")
    encoder = build_image_encoder(f"trunk:{tmp_path / 't'}", SIDE, SIDE)
    assert isinstance(encoder, torch.nn.Module)
    loaded = encoder.state_dict()
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded[f"network.{name}"], tensor.half().float())


def test_loading_leaves_the_random_generator_alone(tmp_path: Path) -> None:
    name = sealed(tmp_path / "t")
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    build_image_encoder(name, SIDE, SIDE)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("file", [WEIGHTS, SPEC])
def test_changed_file_is_refused(tmp_path: Path, file: str) -> None:
    name = sealed(tmp_path / "t")
    data = bytearray((tmp_path / "t" / file).read_bytes())
    data[-1] ^= 1
    (tmp_path / "t" / file).write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match="changed or damaged"):
        build_image_encoder(name, SIDE, SIDE)


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        build_image_encoder(f"trunk:{tmp_path / 'none'}", SIDE, SIDE)


def test_other_image_size_is_refused_with_both_sizes(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=rf"64x64 px, but this trunk was trained on {SIDE}x{SIDE} px"):
        build_image_encoder(sealed(tmp_path / "t"), 64, 64)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    from tutelage_core.sealed_folder import write_sealed

    sealed(tmp_path / "t")
    spec = json.loads((tmp_path / "t" / SPEC).read_text())
    spec["shape"]["channels"] = 9
    files = {WEIGHTS: (tmp_path / "t" / WEIGHTS).read_bytes(), SPEC: json.dumps(spec).encode()}
    write_sealed(tmp_path / "t", files, kind="image trunk", created_by="a test")
    with pytest.raises(CheckpointError, match=r"has shape \(8,.*expected \(9,"):
        build_image_encoder(f"trunk:{tmp_path / 't'}", SIDE, SIDE)


def test_misspelt_trunk_is_refused_with_the_legal_names() -> None:
    with pytest.raises(UnknownNameError, match=r"compact, .*lite0.*trunk:<folder>"):
        BcModelConfig(encoder="twin_trank")


def test_policy_trains_on_a_trunk_and_leaves_its_weights_as_they_are(tmp_path: Path) -> None:
    name = sealed(tmp_path / "t")
    training = Training(sample_frames(), replace(QUICK, model=replace(QUICK.model, encoder=name)))
    before = {n: t.clone() for n, t in training.network.encoders.state_dict().items()}
    first = training.take_step(0.0)["total"]
    for _ in range(30):
        last = training.take_step(0.0)["total"]
    assert last < first
    assert all(torch.equal(t, before[n]) for n, t in training.network.encoders.state_dict().items())
    assert not any(n.startswith("encoders.") for n in training.network.learned_state())


def test_policy_refuses_another_trunk_than_it_was_trained_with(tmp_path: Path) -> None:
    name = sealed(tmp_path / "t", seed=0)
    cameras = {"front": CameraNeed(SIDE, SIDE)}
    trained = BcNetwork(replace(QUICK.model, encoder=name), cameras).config
    assert trained.encoder_sha256 == frozen_digest(build_image_encoder(name, SIDE, SIDE))
    BcNetwork(trained, cameras)
    sealed(tmp_path / "t", seed=1)
    with pytest.raises(ConfigurationError, match="the network was trained with"):
        BcNetwork(trained, cameras)
