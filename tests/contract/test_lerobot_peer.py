"""The real LeRobot 0.4.4, in an environment of its own, reads what we export, and we read what it wrote.

`scripts/peers/lerobot` makes that environment; without it these tests are skipped.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.lerobot_samples import FAST, ROBOT, export_all, picture, record_all
from tutelage.runs.lerobot import ImportConfig, import_
from tutelage_core.config import to_mapping
from tutelage_core.episodes.lerobot.importing import ImportSettings
from tutelage_core.episodes.manifest import to_json
from tutelage_core.episodes.statistics import QUANTILES
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.types import ImageArray

CHECKOUT = Path(__file__).resolve().parents[2]
READER = CHECKOUT / "scripts" / "peers" / "read_lerobot.py"
ENVIRONMENT = CHECKOUT / ".cache" / "peers" / "lerobot"
GIVEN = os.environ.get("TUTELAGE_LEROBOT_PYTHON", "")
PYTHON = Path(GIVEN) if GIVEN else ENVIRONMENT / "bin" / "python"
IS_THERE = PYTHON.is_file() if GIVEN else (ENVIRONMENT / "ready").is_file()

pytestmark = [
    pytest.mark.contract,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not IS_THERE,
        reason=f"no LeRobot at {PYTHON}: scripts/peers/lerobot makes .cache/peers/lerobot (2 GB), or set "
        "TUTELAGE_LEROBOT_PYTHON to the interpreter of an environment that has it",
    ),
]

MEAN_LEVELS = 3.0
"""How far AV1 at crf 30 may take a smooth picture from the recorded one, mean over its pixels, of 255 levels."""

DECODER_LEVELS = 1
"""How far two versions of the decoder may be apart in any pixel."""

WRITER = """
import runpy, sys
import numpy as np
seen = runpy.run_path(sys.argv[1])  # declares the operators that torchvision misses
from lerobot.datasets.lerobot_dataset import LeRobotDataset
given = np.load(sys.argv[3])
features = {
    "observation.images.top": {"dtype": "video", "shape": (48, 64, 3), "names": ["height", "width", "channels"]},
    "observation.state": {"dtype": "float32", "shape": (3,), "names": list("xyz")},
    "action": {"dtype": "float32", "shape": (7,), "names": list("abcdefg")},
}
dataset = LeRobotDataset.create("local/peer", 10, features, root=sys.argv[2], robot_type="so100")
for episode, length in enumerate(given["lengths"]):
    for frame in range(length):
        dataset.add_frame({
            "observation.images.top": given["images"][frame],
            "observation.state": given["state"][episode, frame],
            "action": given["action"][episode, frame],
            "task": f"task {episode}",
        })
    dataset.save_episode()
dataset.finalize()
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EpisodeStore:
    return record_all(tmp_path_factory.mktemp("episodes"))


def run_peer(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "HF_HOME": str(folder / "hf"),
        "HF_HUB_OFFLINE": "1",
    }
    command = [str(PYTHON), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=500)


def seen_by_lerobot(root: Path, folder: Path) -> Mapping[str, Any]:
    output = folder / "seen.npz"
    done = run_peer(folder, str(READER), "--root", str(root), "--output", str(output))
    assert done.returncode == 0, done.stderr[-4000:]
    with np.load(output) as stored:
        return {key: stored[key] for key in stored.files}


def assert_same_numbers(seen: Mapping[str, Any], store: EpisodeStore) -> None:
    episodes = list(store)
    lengths = [len(episode) for episode in episodes]
    state = [np.concatenate([episode.state[key] for key in ROBOT.state_keys], axis=1) for episode in episodes]
    frames = np.concatenate([np.arange(length) for length in lengths])
    expected = {
        "observation.state": np.concatenate(state).astype(np.float32),
        "action": np.concatenate([episode.executed for episode in episodes]).astype(np.float32),
        "complementary_info.source": np.concatenate([episode.sources for episode in episodes]),
        "episode_index": np.repeat(np.arange(len(lengths)), lengths),
        "frame_index": frames,
        "timestamp": (frames / 10).astype(np.float32),
        "index": np.arange(sum(lengths)),
        "next.done": frames == np.repeat(lengths, lengths) - 1,
        "task": np.repeat([episode.metadata.instruction for episode in episodes], lengths),
    }
    for key, values in expected.items():
        np.testing.assert_array_equal(seen[key], values, err_msg=key)
    assert (seen["fps"], seen["episodes"]) == (10, len(lengths))
    action = expected["action"].astype(np.float64)
    np.testing.assert_allclose(seen["stats/action/std"], action.std(axis=0), rtol=1e-9)
    for name, share in QUANTILES.items():
        np.testing.assert_allclose(seen[f"stats/action/{name}"], np.quantile(action, share, axis=0), rtol=1e-9)


def recorded(store: EpisodeStore, camera: str) -> ImageArray:
    return np.concatenate([episode.images[camera] for episode in store])


@pytest.mark.parametrize("size_mb", [100.0, 1e-4])
def test_lerobot_reads_every_frame_as_we_recorded_it(store: EpisodeStore, tmp_path: Path, size_mb: float) -> None:
    settings = replace(FAST, language=False, reward_model="kagi", data_file_mb=size_mb, video_file_mb=size_mb)
    export_all(store, tmp_path / "out", settings)
    seen = seen_by_lerobot(tmp_path / "out", tmp_path)
    assert_same_numbers(seen, store)
    np.testing.assert_allclose(seen["next.reward"][11:19], np.arange(8) * 0.1, rtol=1e-6)
    assert seen["complementary_info.reward_given"].tolist() == [False] * 11 + [True] * 8 + [False]
    assert seen["next.success"].nonzero()[0].tolist() == [6, 19]
    import_(ImportConfig(tmp_path / "out", tmp_path / "back", processes=1))
    for camera in ROBOT.cameras:
        theirs = seen[f"observation.images.{camera}"].astype(int)
        errors = np.abs(recorded(store, camera) - theirs).mean(axis=(1, 2, 3))
        assert errors.max() < MEAN_LEVELS
        assert np.abs(recorded(EpisodeStore(tmp_path / "back"), camera) - theirs).max() <= DECODER_LEVELS


def test_lerobot_reads_pictures_as_images_bit_for_bit(store: EpisodeStore, tmp_path: Path) -> None:
    export_all(store, tmp_path / "out", replace(FAST, language=False, pictures="image"))
    seen = seen_by_lerobot(tmp_path / "out", tmp_path)
    assert_same_numbers(seen, store)
    for camera in ROBOT.cameras:
        np.testing.assert_array_equal(seen[f"observation.images.{camera}"], recorded(store, camera))


def test_lerobot_of_this_version_refuses_a_column_of_phrases_by_its_type(store: EpisodeStore, tmp_path: Path) -> None:
    export_all(store, tmp_path / "out", FAST)
    done = run_peer(tmp_path, str(READER), "--root", str(tmp_path / "out"), "--output", str(tmp_path / "seen.npz"))
    assert done.returncode != 0
    assert "language" in done.stderr.splitlines()[-1]


def test_data_set_that_lerobot_wrote_becomes_episodes_of_ours(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    lengths = np.array([5, 3, 6])
    images = np.stack([picture(number, "wrist") for number in range(6)])
    state = generator.random((3, 6, 3), dtype=np.float32)
    action = generator.normal(size=(3, 6, 7)).astype(np.float32)
    np.savez(tmp_path / "given.npz", lengths=lengths, images=images, state=state, action=action)
    (tmp_path / "write.py").write_text(WRITER)
    root = tmp_path / "theirs"
    done = run_peer(tmp_path, str(tmp_path / "write.py"), str(READER), str(root), str(tmp_path / "given.npz"))
    assert done.returncode == 0, done.stderr[-4000:]
    robot = replace(ROBOT, state_keys=("tcp_position",), cameras={"front": ROBOT.cameras["front"]})
    (tmp_path / "robot.yaml").write_text(to_json(to_mapping(robot), "the contract"))  # JSON is YAML
    settings = ImportSettings({"front": "observation.images.top"}, success=True)
    config = ImportConfig(root, tmp_path / "back", str(tmp_path / "robot.yaml"), processes=1, settings=settings)
    assert import_(config).imported == 3
    for number, length in enumerate(lengths):
        episode = EpisodeStore(tmp_path / "back").read(f"lerobot-{number:06d}")
        np.testing.assert_array_equal(episode.executed, action[number, :length])
        np.testing.assert_array_equal(episode.state["tcp_position"], state[number, :length])
        assert episode.metadata.instruction == f"task {number}"
        assert np.abs(episode.images["front"].astype(int) - images[:length]).mean(axis=(1, 2, 3)).max() < MEAN_LEVELS
