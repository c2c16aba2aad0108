"""Any model of open_clip, from a folder on the disk: its own weights, its own way to prepare pictures, no network.

The folder holds `open_clip_config.json` with `model_cfg` and `preprocess_cfg`, and its weights as safetensors, as
open_clip's own `push_to_hf_hub` writes them.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from PIL import Image
from torch import Tensor

from reward_models.image_text.image_text_model import Embeddings, check_images, check_texts
from reward_models.image_text.openvino_tower import openvino_tower
from tutelage_core.encoders.torchvision_shim import ensure_torchvision
from tutelage_core.errors import CheckpointError, ConfigurationError, UnknownNameError

CONFIG = "open_clip_config.json"
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "model.safetensors")
"""Names under which weights are looked for."""

BACKENDS = ("torch", "openvino")
"""What may run the image tower."""

_PREPARED = ("mean", "std")
"""Without these pictures would silently be prepared for another model."""


class OpenClipModel:
    """Implements `ImageTextModel`."""

    def __init__(
        self, folder: Path, *, batch_size: int = 8, channels_last: bool = True, backend: str = "torch"
    ) -> None:
        """Load the model; nothing is ever fetched, and nothing is random.

        Args:
            folder: of the model.
            batch_size: pictures that go through at once; more of them are cut into pieces.
            channels_last: memory layout of the image tower in torch; faster for convolutions.
            backend: one of `BACKENDS`; `openvino` computes in half precision where the processor can, and a score of
                it carries another model hash.

        Raises:
            UnknownNameError: there is no such backend.
            ConfigurationError: the folder is none, or the model needs what is not there: weights, its own way to
                prepare pictures, a tokenizer or a text tower of another library, or OpenVINO.
            CheckpointError: the weights do not fit or are damaged.
        """
        if batch_size < 1:
            raise ConfigurationError(f"open_clip: batch_size must be at least 1, got {batch_size}")
        if backend not in BACKENDS:
            raise UnknownNameError("backend", backend, BACKENDS, "open_clip")
        weights = _weights_in(folder)
        config = _config_in(folder)
        ensure_torchvision()
        open_clip = importlib.import_module("open_clip")
        try:
            self._model = open_clip.create_model(
                f"local-dir:{folder}",
                pretrained_image=False,
                pretrained_text=False,
                require_pretrained=True,
                weights_only=True,
            ).eval()
        except Exception as error:  # torch, safetensors and open_clip each raise their own
            raise CheckpointError(f"{folder}: not a model of open_clip: {error}") from error
        self._model.requires_grad_(False)
        self._layout = torch.channels_last if channels_last else torch.contiguous_format
        self._model.visual.to(memory_format=self._layout)
        transform = importlib.import_module("open_clip.transform")
        settings = transform.PreprocessCfg(**config["preprocess_cfg"])
        self._prepare: Callable[[Image.Image], Tensor] = transform.image_transform_v2(settings, is_train=False)
        self._tokenize: Callable[[list[str]], Tensor] = open_clip.get_tokenizer(f"local-dir:{folder}")
        self._batch_size = batch_size
        self._see: Callable[[Tensor], Tensor] = self._model.encode_image
        if backend == "openvino":
            height, width = settings.size if isinstance(settings.size, tuple) else (settings.size, settings.size)
            self._see = openvino_tower(self._model.encode_image, height, width)
        self.name = f"open_clip {folder.name}"
        told = hashlib.sha256((folder / CONFIG).read_bytes())
        with weights.open("rb") as file:
            while block := file.read(1 << 20):
                told.update(block)
        if backend != "torch":
            told.update(backend.encode())
        self.digest = told.hexdigest()
        self.features = int(config["model_cfg"]["embed_dim"])

    def embed_images(self, images: Sequence[Any]) -> Embeddings:
        """Return the embedding of each picture; see `ImageTextModel`."""
        check_images(images)
        found: list[Tensor] = []
        with torch.inference_mode():
            for start in range(0, len(images), self._batch_size):
                batch = [self._prepare(Image.fromarray(image)) for image in images[start : start + self._batch_size]]
                pixels = torch.stack(batch).contiguous(memory_format=self._layout)
                found.append(F.normalize(self._see(pixels), dim=-1))
        return torch.cat(found).float().numpy() if found else torch.zeros(0, self.features).numpy()

    def embed_texts(self, texts: Sequence[str]) -> Embeddings:
        """Return the embedding of each sentence; see `ImageTextModel`."""
        check_texts(texts)
        if not texts:
            return torch.zeros(0, self.features).numpy()
        with torch.inference_mode():
            return self._model.encode_text(self._tokenize(list(texts)), normalize=True).float().numpy()


def _weights_in(folder: Path) -> Path:
    if folder.is_file():
        raise ConfigurationError(
            f"{folder}: a bare file of weights does not say how pictures are prepared, and a wrong mean is never seen: "
            f"give the folder that holds it beside {CONFIG}"
        )
    if not folder.is_dir():
        raise ConfigurationError(f"{folder}: there is no such folder; no model is fetched from the network")
    found = [folder / name for name in WEIGHTS if (folder / name).is_file()]
    others = sorted(path.name for path in folder.iterdir() if path.suffix in (".bin", ".pt", ".pth", ".npz"))
    if not found:
        hint = f"; {', '.join(others)} may run a stranger's code: convert it to safetensors" if others else ""
        raise ConfigurationError(f"{folder}: none of the weights {', '.join(WEIGHTS)} is there{hint}")
    return found[0]


def _config_in(folder: Path) -> Mapping[str, Any]:
    """Return the checked configuration."""
    place = folder / CONFIG
    try:
        config = json.loads(place.read_text(encoding="utf-8"))
        model, prepared = config["model_cfg"], config.get("preprocess_cfg") or {}
        text, vision = model.get("text_cfg") or {}, model.get("vision_cfg") or {}
        int(model["embed_dim"])
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ConfigurationError(f"{place}: not the configuration of a model of open_clip: {error!r}") from error
    missing = [name for name in _PREPARED if name not in prepared]
    if missing:
        raise ConfigurationError(
            f"{place}: preprocess_cfg does not say {', '.join(missing)}: pictures would be prepared for another model"
        )
    for where, name in ((text, "hf_model_name"), (text, "hf_tokenizer_name")):
        if where.get(name):
            raise ConfigurationError(
                f"{place}: {name} '{where[name]}' needs the transformers library and the network; take a model with "
                "open_clip's own text tower and tokenizer"
            )
    if vision.get("timm_model_pretrained"):
        raise ConfigurationError(f"{place}: timm_model_pretrained would fetch weights; set it to false")
    return config
