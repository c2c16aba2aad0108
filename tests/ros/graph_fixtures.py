"""Fixtures of the tests that run real nodes over real DDS; `tests/faults` uses them too."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from policies.bc.config import BcModelConfig
from policies.bc.model import BcNetwork
from policies.bc.normalisation import Normalisation
from policies.bc.policy import BcPolicy, make_spec
from tutelage_core.contract import CameraNeed

FIRST_DOMAIN, LAST_DOMAIN = 10, 100  # higher ones use ports that the system hands out too


@contextmanager
def free_domain() -> Iterator[int]:
    """A ROS domain that no other test on this machine uses."""
    folder = Path(tempfile.gettempdir())
    for number in range(FIRST_DOMAIN, LAST_DOMAIN + 1):
        with (folder / f"tutelage-test-domain-{number}.lock").open("w", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # another test session has it
            yield number
            return
    pytest.fail("every ROS domain is in use by another test")


@pytest.fixture
def domain() -> Iterator[int]:
    """A ROS domain of the test's own."""
    with free_domain() as number:
        yield number


@pytest.fixture(scope="session")
def small_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with random weights: it moves, and that is all that the graph's mechanics need."""
    torch.manual_seed(3)
    config = BcModelConfig(keypoints=8, camera_features=32, hidden=64)
    cameras = {"front": CameraNeed(128, 128), "wrist": CameraNeed(128, 128)}
    size = config.state_size
    scales = Normalisation(
        (0.0,) * size, (1.0,) * size, (0.0,) * 6, (0.01,) * 3 + (0.05,) * 3, (0.02,) * 3 + (0.1,) * 3
    )
    spec = make_spec(config, cameras, action="tcp_step", control_rate_hz=10.0, tasks=("PickCube",))
    folder = tmp_path_factory.mktemp("policy") / "random"
    BcPolicy(spec, BcNetwork(config, cameras), scales).save(folder, created_by="tests/ros")
    return folder
