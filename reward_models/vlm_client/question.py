"""A question about pictures, as it goes over the wire and as it is remembered."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from reward_models.vlm_client.config import VlmConfig
from tutelage_core.types import ImageArray


class Question:
    """Checked words, pictures and form of the answer.

    Attributes:
        schema: JSON schema of the answer.
        digest: hash of all that an answer depends on: the model and its settings, words, pixels and form.
        pictures: hash of each picture's pixels.
    """

    def __init__(self, prompt: str, images: Sequence[ImageArray], schema: Mapping[str, Any], config: VlmConfig) -> None:
        """Put the question together.

        Raises:
            ValueError: it is empty or too long, a picture is none, or the form is no JSON schema of an object.
        """
        if not prompt.strip():
            raise ValueError("the question is empty")
        if len(prompt) > config.most_prompt_characters:
            raise ValueError(f"the question has {len(prompt)} characters, at most {config.most_prompt_characters}")
        if len(images) > config.most_images:
            raise ValueError(f"the question has {len(images)} pictures, at most {config.most_images}")
        for image in images:
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
                raise ValueError(
                    f"a picture is RGB of shape (height, width, 3), uint8; got {image.shape} {image.dtype}"
                )
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            raise ValueError(f"the form of the answer is no JSON schema: {error.message}") from error
        if schema.get("type") != "object":
            raise ValueError("the form of the answer must be that of an object")
        self.schema = schema
        self._prompt, self._images, self._config = prompt, images, config
        self.pictures = tuple(_digest(image) for image in images)
        told = [
            config.model_name,
            prompt,
            self.pictures,
            schema,
            config.temperature,
            config.seed,
            config.most_answer_tokens,
            config.most_side_px,
            config.picture_format,
            config.answer_form,
        ]
        self.digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def body(self) -> bytes:
        """Return the request's body."""
        config = self._config
        content: list[dict[str, Any]] = [{"type": "text", "text": self._prompt}]
        content += [{"type": "image_url", "image_url": {"url": self._data_url(image)}} for image in self._images]
        request: dict[str, Any] = {
            "model": config.model_name,
            "messages": [{"role": "user", "content": content}],
            "temperature": config.temperature,
            "seed": config.seed,
            "max_tokens": config.most_answer_tokens,
        }
        if config.answer_form == "json_schema":
            form = {"name": "answer", "strict": True, "schema": self.schema}
            request["response_format"] = {"type": "json_schema", "json_schema": form}
        elif config.answer_form == "json_object":
            request["response_format"] = {"type": "json_object"}
        return json.dumps(request).encode()

    def _data_url(self, image: ImageArray) -> str:
        config = self._config
        shown = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        share = config.most_side_px / max(image.shape[:2])
        if share < 1.0:
            size = tuple(max(1, round(side * share)) for side in (image.shape[1], image.shape[0]))
            shown = cv2.resize(shown, size, interpolation=cv2.INTER_AREA)
        suffix = ".jpg" if config.picture_format == "jpeg" else ".png"
        _, data = cv2.imencode(suffix, shown)
        return f"data:image/{config.picture_format};base64,{base64.b64encode(data.tobytes()).decode()}"


def _digest(image: ImageArray) -> str:
    return hashlib.sha256(f"{image.shape}".encode() + np.ascontiguousarray(image).tobytes()).hexdigest()
