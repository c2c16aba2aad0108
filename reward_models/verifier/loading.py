"""Verifiers by what names them on a command line or in a launch file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from reward_models.registry import KINDS, load_reward_model
from reward_models.verifier.reward_verifier import RewardVerifier, RewardVerifierConfig
from reward_models.verifier.verifier import Verifier
from reward_models.verifier.vlm_verifier import VlmVerifier, VlmVerifierConfig
from reward_models.vlm_client.client import VlmClient
from reward_models.vlm_client.config import VlmConfig
from tutelage_core.config import load_yaml
from tutelage_core.errors import ConfigurationError, UnknownNameError

VLM, REWARD = "vlm", "reward"


@dataclass(frozen=True)
class VlmVerifierFile:
    """What a settings file of a vision-language model says.

    Attributes:
        server: which one is asked, and how patiently.
        question: what is asked.
        cache: folder of answers that were given before, from the file's own folder on; empty remembers nothing.
        log: file of all questions, likewise.
    """

    server: VlmConfig = field(default_factory=VlmConfig)
    question: VlmVerifierConfig = field(default_factory=VlmVerifierConfig)
    cache: str = ""
    log: str = ""

    def __post_init__(self) -> None:
        """Refuse more pictures than the server may be sent."""
        pictures = self.question.most_frames * len(self.question.cameras)
        if pictures > self.server.most_images:
            raise ConfigurationError(
                f"verifier: {self.question.most_frames} frames of {len(self.question.cameras)} cameras are {pictures} "
                f"pictures, and server.most_images is {self.server.most_images}"
            )


@dataclass(frozen=True)
class RewardVerifierFile:
    """What a settings file of a reward model as a verifier says.

    Attributes:
        model: its name, as for `tutelage reward evaluate`.
        verifier: how its scores become an answer.
    """

    model: str
    verifier: RewardVerifierConfig = field(default_factory=RewardVerifierConfig)


def load_verifier(name: str) -> Verifier:
    """Return the verifier of this name.

    Args:
        name: `vlm:FILE`, a YAML file of `VlmVerifierFile`; `reward:FILE`, one of `RewardVerifierFile`; or a reward
            model's name, such as `success_classifier:FOLDER`, which is asked about the last frames.

    Raises:
        UnknownNameError: there is no such kind; the legal ones are listed.
        ConfigurationError: its place is missing, or nothing that it says could be success.
        CheckpointError: what is there is damaged.
    """
    kind, _, place = name.partition(":")
    if kind in (VLM, REWARD) and not place:
        raise ConfigurationError(f"verifier '{name}': say where its settings are: {kind}:FILE")
    if kind == VLM:
        path = Path(place)
        said = load_yaml(path, VlmVerifierFile)
        cache = path.parent / said.cache if said.cache else None
        log = path.parent / said.log if said.log else None
        return VlmVerifier(name, VlmClient(said.server, cache=cache, log=log), said.question)
    if kind == REWARD:
        chosen = load_yaml(Path(place), RewardVerifierFile)
        known = load_reward_model(chosen.model)
        return RewardVerifier(name, known.model, known.threshold, chosen.verifier, known.likely)
    if kind not in KINDS:
        raise UnknownNameError("verifier", kind, (VLM, REWARD, *KINDS), f"'{name}'")
    known = load_reward_model(name)
    return RewardVerifier(name, known.model, known.threshold, likely=known.likely)
