"""Policies by kind, and checkpoints by name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from policies.checkpoint import SPEC, read_checkpoint
from policies.policy import Policy
from policies.sealed_folder import MANIFEST
from tutelage_core.errors import UnknownNameError

POLICIES: Mapping[str, str] = {
    "bc": "policies.bc.policy:BcPolicy",
    "hil_serl": "policies.hil_serl.policy:HilSerlPolicy",
    "rum": "policies.rum.policy:RumPolicy",
}
"""Kind of policy to class, imported when asked for; each has `from_checkpoint(Checkpoint)`."""


def models_folder() -> Path:
    """Return the folder of the checkpoints that come with the project."""
    return Path(__file__).resolve().parent.parent / "models"


def checkpoint_names() -> tuple[str, ...]:
    """Return the names of the policies that come with the project."""
    return tuple(sorted(path.parent.name for path in models_folder().glob(f"*/{SPEC}")))


def find_checkpoint(name_or_path: str | Path) -> Path:
    """Return the checkpoint folder with this name under `models/`, or at this path.

    Raises:
        UnknownNameError: there is neither; the legal names are listed.
    """
    path = Path(name_or_path)
    if (path / MANIFEST).is_file() or (path / SPEC).is_file():
        return path
    if str(name_or_path) not in checkpoint_names():
        raise UnknownNameError("policy checkpoint", str(name_or_path), checkpoint_names(), str(models_folder()))
    return models_folder() / name_or_path


def load_policy(folder: Path) -> Policy:
    """Load the policy in a checkpoint folder.

    Raises:
        CheckpointError: the folder is damaged or incomplete.
        UnknownNameError: its kind of policy is not known here; the legal kinds are listed.
    """
    checkpoint = read_checkpoint(folder)
    kind = checkpoint.spec.name
    if kind not in POLICIES:
        raise UnknownNameError("policy", kind, POLICIES, str(folder / SPEC))
    module, _, attribute = POLICIES[kind].partition(":")
    policy_class: Any = getattr(importlib.import_module(module), attribute)
    return policy_class.from_checkpoint(checkpoint)
