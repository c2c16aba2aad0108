"""Errors reach the one who called, from whatever process."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest

from tutelage_core.errors import ContractMismatchError, EpisodeError, TutelageError, UnknownNameError

pytestmark = pytest.mark.unit

ERRORS = (
    EpisodeError("a is damaged"),
    UnknownNameError("camera", "frnt", ("front", "wrist"), "robot twin"),
    ContractMismatchError("policy", "robot", ("rate", "camera")),
)


def fail(error: TutelageError) -> None:
    """Raise `error`."""
    raise error


def test_error_of_a_parallel_process_comes_with_its_message_and_its_fields() -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        for error in ERRORS:
            with pytest.raises(type(error)) as caught:
                pool.submit(fail, error).result()
            assert str(caught.value) == str(error)
            assert {**vars(caught.value)} == {**vars(error)}
