"""Image encoders: what their properties promise is what comes out, and wrong names and sizes are refused."""

from __future__ import annotations

import pytest
import torch

from tutelage_core.encoders.image import IMAGE_ENCODERS, ImageEncoder, build_image_encoder, normalise
from tutelage_core.encoders.torchvision_shim import ensure_torchvision
from tutelage_core.errors import ConfigurationError, UnknownNameError


@pytest.fixture(scope="module", params=sorted(IMAGE_ENCODERS))
def encoder(request: pytest.FixtureRequest) -> ImageEncoder:
    return build_image_encoder(request.param, 64, 96)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randint(0, 256, (3, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_feature_map_has_the_promised_shape(encoder: ImageEncoder, images: torch.Tensor) -> None:
    assert isinstance(encoder, ImageEncoder)
    assert encoder(images).shape == (3, encoder.channels, *encoder.grid)


def test_bytes_and_normalised_floats_give_the_same_features(encoder: ImageEncoder, images: torch.Tensor) -> None:
    torch.testing.assert_close(encoder(images), encoder(normalise(images)))


def test_an_image_is_encoded_alike_alone_and_in_a_batch(encoder: ImageEncoder, images: torch.Tensor) -> None:
    torch.testing.assert_close(encoder(images)[1:2], encoder(images[1:2]), rtol=1e-4, atol=1e-4)


def test_only_trainable_encoders_have_weights_that_learn(encoder: ImageEncoder, images: torch.Tensor) -> None:
    assert isinstance(encoder, torch.nn.Module)
    encoder.train()
    assert encoder(images).requires_grad is encoder.trainable
    assert any(p.requires_grad for p in encoder.parameters()) is encoder.trainable


def test_frozen_trunk_stays_in_evaluation_mode() -> None:
    encoder = build_image_encoder("lite0", 32, 32)
    assert isinstance(encoder, torch.nn.Module)
    assert not any(module.training for module in encoder.train().modules())


def test_lite0_tells_a_textured_image_from_a_plain_one() -> None:
    encoder = build_image_encoder("lite0", 64, 64)
    plain = torch.full((1, 3, 64, 64), 128, dtype=torch.uint8)
    checked = plain.clone()
    checked[..., ::8, :] = 255
    assert float((encoder(plain) - encoder(checked)).abs().mean()) > 0.05


def test_normalised_range_is_minus_one_to_one() -> None:
    assert normalise(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1.0, 1.0]


def test_unknown_encoder_is_refused_with_the_legal_names() -> None:
    with pytest.raises(UnknownNameError, match=r"'compat'; legal: compact, .*lite0.*Did you mean 'compact'"):
        build_image_encoder("compat", 64, 64)


@pytest.mark.parametrize(("name", "side"), [("compact", 100), ("lite0", 72), ("compact", 0)])
def test_image_that_does_not_fit_the_stride_is_refused(name: str, side: int) -> None:
    with pytest.raises(ConfigurationError, match="multiples of"):
        build_image_encoder(name, side, 64)


def test_shim_may_be_called_again() -> None:
    assert ensure_torchvision() is ensure_torchvision()
