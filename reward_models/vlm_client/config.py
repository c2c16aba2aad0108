"""Which server is asked, and how long and how often."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from tutelage_core.errors import ConfigurationError

MODEL_VARIABLE, URL_VARIABLE = "TUTELAGE_VLM_MODEL", "TUTELAGE_VLM_URL"
"""Environment variables that stand in for an empty `model` and `base_url`."""


@dataclass(frozen=True)
class VlmConfig:
    """Settings of a client. No key is ever written here: it comes from the environment.

    Attributes:
        base_url: of the server, up to and with its version, such as `http://127.0.0.1:11434/v1`.
        model: name under which the server knows the model.
        api_key_env: environment variable that holds the key; none is sent if empty.
        deadline_s: for an answer, all tries and waits together [s].
        try_s: for one try [s].
        tries: how often is asked at most.
        first_wait_s, most_wait_s: before the second try, and before any; each wait is about twice the last [s].
        most_images: pictures in a question.
        most_side_px: longer pictures are made smaller [px].
        picture_format: `png` loses nothing, `jpeg` is smaller.
        most_prompt_characters: longer questions are refused.
        most_answer_bytes: longer answers are not read on.
        most_answer_tokens: that the model is asked for.
        temperature, seed: of the model's draw; servers may ignore the seed.
        answer_form: how the server is told the form of the answer: its JSON schema, that it is JSON, or not at all. It
            is checked here in any case.
        usd_per_million_prompt_tokens, usd_per_million_answer_tokens: what a call costs; None where nobody has said.
        open_after: after so many calls in a row without an answer the server is left alone ...
        open_s: ... for so long [s].
    """

    base_url: str = ""
    model: str = ""
    api_key_env: str = ""
    deadline_s: float = 30.0
    try_s: float = 15.0
    tries: int = 4
    first_wait_s: float = 0.5
    most_wait_s: float = 8.0
    most_images: int = 8
    most_side_px: int = 768
    picture_format: Literal["jpeg", "png"] = "jpeg"
    most_prompt_characters: int = 20_000
    most_answer_bytes: int = 1_000_000
    most_answer_tokens: int = 1_024
    temperature: float = 0.0
    seed: int = 0
    answer_form: Literal["json_schema", "json_object", "free"] = "json_schema"
    usd_per_million_prompt_tokens: float | None = None
    usd_per_million_answer_tokens: float | None = None
    open_after: int = 5
    open_s: float = 30.0

    def __post_init__(self) -> None:
        """Refuse numbers with which nobody can be asked.

        Raises:
            ConfigurationError: a number is out of range.
        """
        for name in ("deadline_s", "try_s", "first_wait_s", "most_wait_s", "open_s"):
            if not 0.0 < getattr(self, name) < float("inf"):
                raise ConfigurationError(f"VlmConfig: {name} must be positive, got {getattr(self, name)}")
        for name in (
            "tries",
            "most_images",
            "most_prompt_characters",
            "most_answer_bytes",
            "most_answer_tokens",
            "open_after",
        ):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"VlmConfig: {name} must be at least 1, got {getattr(self, name)}")
        if self.most_side_px < 16:
            raise ConfigurationError(f"VlmConfig: most_side_px must be at least 16, got {self.most_side_px}")
        if not 0.0 <= self.temperature <= 2.0:
            raise ConfigurationError(f"VlmConfig: temperature must be in 0..2, got {self.temperature}")

    @property
    def url(self) -> str:
        """Address that questions go to.

        Raises:
            ConfigurationError: there is none, or it is no address of a web server.
        """
        base = self.base_url or os.environ.get(URL_VARIABLE, "")
        parts = urlsplit(base)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ConfigurationError(
                f"VlmConfig: base_url '{base}' is no address of a server: set it, or {URL_VARIABLE}, to something like "
                "http://127.0.0.1:11434/v1"
            )
        if parts.query or parts.fragment or "@" in parts.netloc:
            raise ConfigurationError("VlmConfig: base_url must be plain: no user, password, query or fragment in it")
        return base.rstrip("/") + "/chat/completions"

    @property
    def model_name(self) -> str:
        """Name of the model.

        Raises:
            ConfigurationError: there is none.
        """
        if not (name := self.model or os.environ.get(MODEL_VARIABLE, "")):
            raise ConfigurationError(f"VlmConfig: no model is named: set `model`, or {MODEL_VARIABLE}")
        return name

    def key(self) -> str:
        """Return the key, empty if none is to be sent.

        Raises:
            ConfigurationError: its variable is not set.
        """
        if not self.api_key_env:
            return ""
        if not (key := os.environ.get(self.api_key_env, "").strip()):
            raise ConfigurationError(f"VlmConfig: environment variable {self.api_key_env} holds no key")
        return key
