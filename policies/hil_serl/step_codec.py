"""A step on its way from actor to learner: bytes that say whose it is, and that nobody has to trust.

::

    safetensors header   metadata: label (JSON, see `StepLabel`) and identity (JSON, see `ReplayIdentity`)
    safetensors arrays   those of a replay block that holds this step alone

There is no pickle in it. The label is read without the arrays: what came twice need not be opened.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from policies.hil_serl.layout import ReplayIdentity
from policies.hil_serl.replay_block import decode_steps, encode_steps
from policies.hil_serl.transition import ReplayError, Step, step_name
from tutelage_core.config import from_mapping, to_mapping
from tutelage_core.errors import CheckpointError, ConfigurationError

_LABEL, _IDENTITY, _METADATA = "label", "identity", "__metadata__"
_HEADER_BYTES = 16_384
"""Room for the header and the numbers beside the observations."""


@dataclass(frozen=True)
class StepLabel:
    """What stands outside on a step.

    Attributes:
        actor, segment, index: which step it is.
        ends: whether its segment ends with it.
        follows: on the first step of a segment: index of the last one of the segment before, which must be there first;
            -1 where there is none, or its actor does not know.
        updates: of the weights that decided it, so that their age can be told; -1 where no learner's weights did.
    """

    actor: str
    segment: int
    index: int
    ends: bool
    follows: int
    updates: int

    @property
    def name(self) -> str:
        """How errors call the step."""
        return step_name(self.actor, self.segment, self.index)


class StepCodec:
    """Encodes steps of one identity, and decodes no others."""

    def __init__(self, identity: ReplayIdentity) -> None:
        """Encode and decode steps of this robot, trunk and layout."""
        self.identity = identity
        self._text = identity_text(identity)
        self.most_bytes = 2 * identity.layout.bytes_per_observation + _HEADER_BYTES
        """Size of the largest step [bytes]."""

    def encode(self, step: Step, *, follows: int = -1, updates: int = -1) -> bytes:
        """Return the bytes of a step; for `follows` and `updates` see `StepLabel`.

        Raises:
            ReplayError: an observation does not fit the layout, or is not finite: no learner would take it.
        """
        layout = self.identity.layout
        layout.check(step.observation, step.name)
        if step.final_observation is not None:
            layout.check(step.final_observation, f"{step.name}, final observation")
        label = StepLabel(step.actor, step.segment, step.index, step.ends_segment, follows, updates)
        metadata = {_LABEL: json.dumps(to_mapping(label)), _IDENTITY: self._text}
        return encode_steps([step], (step.actor,), layout, metadata)

    def label(self, data: bytes) -> StepLabel:
        """Return what stands outside on a step, before anything in it is looked at.

        Raises:
            ReplayError: it is too large, or no step at all.
        """
        if len(data) > self.most_bytes:
            raise ReplayError(f"step of {len(data)} bytes: one of this layout has at most {self.most_bytes}")
        metadata = metadata_of(data, "step")
        if set(metadata) != {_LABEL, _IDENTITY}:
            raise ReplayError(f"step: its header tells {sorted(metadata)}, expected '{_LABEL}' and '{_IDENTITY}'")
        try:
            return from_mapping(json.loads(metadata[_LABEL]), StepLabel, "step: label")
        except (ValueError, TypeError, RecursionError, ConfigurationError) as error:
            raise ReplayError(f"step: its header holds no label of ours: {error}") from error

    def decode(self, data: bytes) -> Step:
        """Return the step, every number of it looked at.

        Raises:
            ReplayError: it is too large, no step of ours, not the one that its label tells, or holds what is not
                finite.
            ContractMismatchError: it is of another robot, trunk or layout; each difference is named.
        """
        label = self.label(data)
        layout = self.identity.layout
        identity = metadata_of(data, "step")[_IDENTITY]
        if identity != self._text:
            check_identity(identity, self.identity, "what is kept here", label.name)
        try:
            steps = decode_steps(data, (label.actor,), layout, label.name)
        except CheckpointError as error:
            raise ReplayError(str(error)) from error
        if len(steps) != 1:
            raise ReplayError(f"{label.name}: holds {len(steps)} steps, expected 1")
        (step,) = steps
        if (step.name, step.ends_segment) != (label.name, label.ends):
            raise ReplayError(f"{label.name}: inside is {step.name}; label and content differ")
        layout.check(step.observation, step.name)
        if step.final_observation is not None:
            layout.check(step.final_observation, f"{step.name}, final observation")
        return step


def identity_text(identity: ReplayIdentity) -> str:
    """Return an identity as text that is the same wherever the identity is."""
    return json.dumps(to_mapping(identity), sort_keys=True, separators=(",", ":"))


def check_identity(text: str, identity: ReplayIdentity, here: str, there: str) -> None:
    """Refuse what is of another identity; `here` and `there` name the two sides.

    Raises:
        ReplayError: the text tells no identity.
        ContractMismatchError: it is another one; both sides are named, and each difference.
    """
    try:
        theirs = from_mapping(json.loads(text), ReplayIdentity, f"{there}: identity")
    except (ValueError, TypeError, RecursionError, ConfigurationError) as error:
        raise ReplayError(f"{there}: its header tells no identity of ours: {error}") from error
    identity.check_same(theirs, here, there)


def metadata_of(data: bytes, what: str) -> Mapping[str, str]:
    """Return the metadata of a safetensors file, before its arrays are looked at; `what` names it in errors.

    Raises:
        ReplayError: it has no such header.
    """
    size = int.from_bytes(data[:8], "little")
    try:
        header: Any = json.loads(data[8 : 8 + size])
        found: dict[str, Any] = header[_METADATA]
        if not all(isinstance(value, str) for value in found.values()):
            raise TypeError("its metadata is no text")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ReplayError(f"{what}: its bytes begin with no header of ours: {error!r}") from error
    return found
