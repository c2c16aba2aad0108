"""Trains an image trunk: on the twin's true state, or on anybody's recorded episodes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import torch

from policies.trunk.config import TrunkConfig
from policies.trunk.inverse_dynamics import InverseDynamicsObjective
from policies.trunk.points import PointObjective
from policies.trunk.train import TRUNK_FOLDER, train_trunk
from tutelage.runs.labelled_frames import FramesConfig, labelled_frames
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.episodes.windows import load_windows
from tutelage_core.errors import ConfigurationError


@dataclass(frozen=True)
class TrainTrunkConfig:
    """One training run of a trunk.

    Attributes:
        output: folder of the run; the trunk comes to stand in its subfolder `trunk`.
        method: `state` learns from the twin where things truly are; `inverse_dynamics` learns from recorded episodes
            of any robot which action lies between two frames, without labels.
        data: `state`: folder that keeps the rendered pictures, `output/frames` if not given. `inverse_dynamics`:
            folder of episodes.
        frames: `state`: which pictures to render.
        cameras: `inverse_dynamics`: cameras to learn from; all that the first episode has if empty.
        processes: `state`: processes that render.
        resume: go on with the run in `output`.
        threads: torch threads; what torch chooses if None.
        trunk: every number of the training.
    """

    output: Path
    method: Literal["state", "inverse_dynamics"] = "state"
    data: Path | None = None
    frames: FramesConfig = field(default_factory=FramesConfig)
    cameras: tuple[str, ...] = ()
    processes: int = 1
    resume: bool = False
    threads: int | None = None
    trunk: TrunkConfig = field(default_factory=TrunkConfig)


def train(config: TrainTrunkConfig) -> Path:
    """Train, and return the folder of the sealed trunk.

    Raises:
        ConfigurationError: data and settings do not belong together.
        EpisodeError: an episode is damaged.
    """
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    run = partial(train_trunk, config=config.trunk, folder=config.output, method=config.method, resume=config.resume)
    if config.method == "state":
        frames = labelled_frames(config.frames, config.data or config.output / "frames", config.processes)
        size = int(frames.images.shape[2]), int(frames.images.shape[3])
        rooms = ", ".join(f"{config.frames.rooms_for(task)} of {task}" for task in config.frames.tasks)
        words = (
            f"the twin's pictures of rooms of split '{config.frames.split}' ({rooms}), "
            f"with the true places of {', '.join(frames.names)}"
        )
        run(size, lambda grid, numbers: PointObjective(frames, grid, numbers), data=words)
        return config.output / TRUNK_FOLDER
    if config.data is None:
        raise ConfigurationError("method inverse_dynamics needs --data, a folder of recorded episodes")
    store = EpisodeStore(config.data)
    names = store.names()
    if not names:
        raise ConfigurationError(f"{config.data}: no finished episode to learn from")
    cameras = config.cameras or tuple(store.manifest(names[0]).metadata.contract.cameras)
    windows = load_windows(store, cameras, (), 1, 1, target="executed", progress=True)
    sizes = {store_.shape[1:3] for store_ in windows.images.values()}
    if len(sizes) != 1:
        raise ConfigurationError(f"{config.data}: cameras of different sizes {sorted(sizes)}; choose some by --cameras")
    height, width = sizes.pop()
    words = f"{len(names)} recorded episodes of robot '{windows.contract.name}', without labels"
    run(
        (int(height), int(width)),
        lambda grid, numbers: InverseDynamicsObjective(windows, grid, numbers),
        data=words,
    )
    return config.output / TRUNK_FOLDER
