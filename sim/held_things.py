"""What a sentence of the twin says is in the gripper."""

from __future__ import annotations

import re

NOTHING_HELD = ""
"""Stands for an empty gripper."""

_HELD = re.compile(
    r"^the gripper (?:holds|has pinched|draws) (?:the knob of )?(?P<thing>the [a-z ]+?)"
    r"(?=,| which| (?:in|on|just|inside|over|before|near|upright|tilted|level|by)\b|'s|$)"
)
_EMPTY = re.compile(r"\bgripper is empty\b|\bnothing holds\b|\bnobody holds\b|\bthe gripper does not touch\b")


def held_thing(sentence: str) -> str | None:
    """Return what is held by a sentence, `NOTHING_HELD` if it says that nothing is, None if it is about other things.

    Only sentences that begin with the gripper name what it holds; others that mean the same are not asked.
    """
    found = _HELD.match(sentence)
    if found:
        return found["thing"]
    return NOTHING_HELD if _EMPTY.search(sentence) else None
