"""Models of open_clip from a folder: what is loaded, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reward_models.image_text.image_text_model import ImageTextModel
from reward_models.image_text.open_clip_model import CONFIG, WEIGHTS, OpenClipModel
from reward_models.image_text.openvino_tower import PACKAGE, VERSION, openvino_tower
from tests.unit.image_text_samples import SMALL, plain, small_open_clip
from tutelage_core.errors import CheckpointError, ConfigurationError, UnknownNameError

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_open_clip(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture(scope="module")
def model(folder: Path) -> OpenClipModel:
    return OpenClipModel(folder, batch_size=2)


def test_embeddings_have_length_one_whatever_the_batch(model: OpenClipModel, folder: Path) -> None:
    assert isinstance(model, ImageTextModel)
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (side, side + 7, 3), np.uint8) for side in (20, 32, 64, 40, 50)]
    found = model.embed_images(images)
    assert found.shape == (5, model.features) == (5, 16)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)
    one_by_one = np.concatenate([OpenClipModel(folder, batch_size=1).embed_images([image]) for image in images])
    np.testing.assert_allclose(found, one_by_one, atol=1e-5)
    texts = model.embed_texts(["a red cube", "a closed drawer"])
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1.0, atol=1e-5)
    assert not np.allclose(texts[0], texts[1])
    assert model.embed_images([]).shape == model.embed_texts([]).shape == (0, 16)


def test_openvino_gives_the_same_in_half_precision_under_a_hash_of_its_own(model: OpenClipModel, folder: Path) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed")
    fast = OpenClipModel(folder, batch_size=2, backend="openvino")
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (32, 32, 3), np.uint8) for _ in range(5)]
    cosines = np.sum(fast.embed_images(images) * model.embed_images(images), axis=1)
    assert cosines.min() > 0.999, "three pictures at once, and one"
    assert fast.digest != model.digest
    np.testing.assert_array_equal(fast.embed_texts(["a red cube"]), model.embed_texts(["a red cube"]))


def test_model_that_openvino_cannot_run_is_refused() -> None:
    pytest.importorskip("openvino", reason="openvino is not installed")

    def see(pixels: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("it sees nothing")

    with pytest.raises(ConfigurationError, match=r"(?s)OpenVINO cannot run this model.*take `open_clip`"):
        openvino_tower(see, 32, 32)


def test_version_that_is_named_as_tested_is_the_one_that_is() -> None:
    locked = Path(__file__).resolve().parents[2] / "requirements" / "dev.txt"
    assert f"{PACKAGE}=={VERSION}" in locked.read_text(encoding="utf-8").splitlines()


def test_backend_that_is_not_there_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownNameError, match="torch"):
        OpenClipModel(folder, backend="tensorrt")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ConfigurationError, match="pip install --no-deps openvino=="):
        OpenClipModel(folder, backend="openvino")


def test_pictures_are_prepared_as_the_model_was_trained_not_as_openai_s(tmp_path: Path, model: OpenClipModel) -> None:
    image = plain(200, 100, 50)
    pixels = torch.tensor([200, 100, 50]) / 255.0
    mean, std = (torch.tensor(SMALL["preprocess_cfg"][name]) for name in ("mean", "std"))
    by_hand = ((pixels - mean) / std)[None, :, None, None].expand(1, 3, 32, 32)
    with torch.inference_mode():
        expected = model._model.encode_image(by_hand, normalize=True).numpy()
    np.testing.assert_allclose(model.embed_images([image]), expected, atol=1e-5)
    other = small_open_clip(tmp_path / "other", preprocess_cfg={**SMALL["preprocess_cfg"], "mean": [0.0, 0.0, 0.0]})
    assert OpenClipModel(other).digest != model.digest
    assert not np.allclose(OpenClipModel(other).embed_images([image]), expected, atol=1e-3)


def test_global_random_numbers_and_weights_are_left_as_they_were(folder: Path) -> None:
    one, two = OpenClipModel(folder), OpenClipModel(folder)
    assert one.digest == two.digest
    np.testing.assert_array_equal(one.embed_images([plain(1, 2, 3)]), two.embed_images([plain(1, 2, 3)]))
    assert not any(weight.requires_grad for weight in one._model.parameters())


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"preprocess_cfg": {"size": 32}}, "does not say mean, std"),
        ({"preprocess_cfg": None}, "does not say mean, std"),
        ({"model_cfg": {"vision_cfg": {}}}, "not the configuration"),
        ({"model_cfg": None}, "not the configuration"),
        (
            {"model_cfg": {**SMALL["model_cfg"], "text_cfg": {"hf_tokenizer_name": "them/theirs"}}},
            "hf_tokenizer_name 'them/theirs' needs .* network",
        ),
        (
            {"model_cfg": {**SMALL["model_cfg"], "text_cfg": {"hf_model_name": "them/theirs"}}},
            "hf_model_name 'them/theirs' needs .* network",
        ),
        (
            {"model_cfg": {**SMALL["model_cfg"], "vision_cfg": {"timm_model_pretrained": True}}},
            "would fetch weights",
        ),
    ],
)
def test_configuration_that_would_guess_or_fetch_is_refused(
    tmp_path: Path, changes: dict[str, Any], complaint: str
) -> None:
    small_open_clip(tmp_path, **changes)
    with pytest.raises(ConfigurationError, match=complaint):
        OpenClipModel(tmp_path)


def test_folders_that_hold_no_model_are_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such folder"):
        OpenClipModel(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="bare file of weights"):
        OpenClipModel(folder / WEIGHTS[0])
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / CONFIG).write_text(json.dumps(SMALL))
    with pytest.raises(ConfigurationError, match="none of the weights"):
        OpenClipModel(bare)  # never random
    (bare / "open_clip_pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(ConfigurationError, match="stranger's code"):
        OpenClipModel(bare)
    (bare / WEIGHTS[0]).write_bytes((folder / WEIGHTS[0]).read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="not a model of open_clip"):
        OpenClipModel(bare)
    wider = {**SMALL["model_cfg"], "embed_dim": 24}
    with pytest.raises(CheckpointError, match="not a model of open_clip"):
        OpenClipModel(small_open_clip(tmp_path / "wider", model_cfg=wider))


@pytest.mark.parametrize("image", [plain(1, 2, 3).transpose(2, 0, 1), plain(1, 2, 3) / 255.0, plain(1, 2, 3)[..., :1]])
def test_what_is_no_picture_is_refused(model: OpenClipModel, image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="height, width, 3"):
        model.embed_images([image])


def test_empty_sentence_is_refused(model: OpenClipModel) -> None:
    with pytest.raises(ValueError, match="empty"):
        model.embed_texts(["a cube", " "])
