"""What a training run is called, and how often its learner has been started: so that an actor knows whom it hears."""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import dataclass
from pathlib import Path

from tutelage_core.config import from_mapping, to_mapping
from tutelage_core.errors import CheckpointError, ConfigurationError
from tutelage_core.sealed_folder import parse_json_object

FILE = "run.json"


@dataclass(frozen=True)
class RunStart:
    """One start of a run's learner.

    Attributes:
        run: name of the run, given once.
        start: number of the start, from 1 on.
    """

    run: str
    start: int


def next_start(folder: Path) -> RunStart:
    """Note that the learner of the run in `folder` is started, and return how it is called.

    Raises:
        CheckpointError: what is there is damaged, or the disk is full or not writable.
    """
    path = folder / FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        before = RunStart(uuid.uuid4().hex, 0)
        if path.exists():
            before = from_mapping(parse_json_object(path.read_bytes(), path), RunStart, str(path))
        found = RunStart(before.run, before.start + 1)
        fresh = path.with_name(f".{FILE}.new")
        with fresh.open("w", encoding="utf-8") as file:
            json.dump(to_mapping(found), file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except ConfigurationError as error:
        raise CheckpointError(str(error)) from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written: {error.strerror or error}") from error
    return found
