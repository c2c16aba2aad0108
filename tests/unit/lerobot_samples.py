"""Episodes with all that an export has to carry: smooth pictures, uneven stamps, several drivers, phrases, labels."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.episode_samples import CONTRACT, METADATA, PERIOD_NS, RESULT
from tutelage_core.contract import STATE_KEYS, CameraContract, RobotContract
from tutelage_core.episodes.labels import Label, RewardScores, add_label
from tutelage_core.episodes.lerobot.assemble import ExportTotals, assemble
from tutelage_core.episodes.lerobot.dataset import open_dataset
from tutelage_core.episodes.lerobot.episode_export import export_episode
from tutelage_core.episodes.lerobot.importing import ImportSettings, check_fit, contract_of, import_episode, plan_import
from tutelage_core.episodes.lerobot.layout import ExportSettings
from tutelage_core.episodes.manifest import EpisodeMetadata
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.episodes.writer import EpisodeWriter
from tutelage_core.errors import ConfigurationError, ContractMismatchError, EpisodeError
from tutelage_core.rotations import rotation_vector_to_xyzw
from tutelage_core.types import (
    ActionChunk,
    ArmState,
    ExecutedStep,
    Frame,
    ImageArray,
    Pose,
    Source,
    TaskStatus,
)

HEIGHT, WIDTH = 48, 64
LENGTHS = {"lift-0": 7, "lift-1": 4, "place-0": 9}
ROBOT: RobotContract = replace(
    CONTRACT,
    cameras={name: CameraContract(WIDTH, HEIGHT, 10.0, "twin") for name in ("front", "wrist")},
    state_keys=tuple(STATE_KEYS),
)
FAST = ExportSettings(preset=13)


def picture(number: int, camera: str) -> ImageArray:
    """Return a smooth picture that moves with `number`; the cameras' differ."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    phase = 0.2 * number + (1.5 if camera == "wrist" else 0.0)
    waves = [0.06 * x + phase, 0.08 * y - phase, 0.04 * (x + y) + phase]
    return np.stack([127.5 + 100.0 * np.sin(wave) for wave in waves], axis=2).astype(np.uint8)


def stamps_of(name: str, length: int) -> list[int]:
    """Return stamps that begin somewhere and come unevenly, as in real time [ns]."""
    generator = np.random.default_rng(sum(name.encode()))
    jitter = generator.integers(-9_000_000, 9_000_000, length)
    return (5_000_000_123 + np.arange(length) * PERIOD_NS + jitter).tolist()


def record_rich(
    root: Path, name: str, length: int, metadata: EpisodeMetadata | None = None, *, phrases: tuple[str, ...] = ()
) -> Path:
    """Record an episode whose every number is another one; `phrases` are followed one period each, then none."""
    generator = np.random.default_rng(sum(name.encode()))
    told = metadata or replace(METADATA, contract=ROBOT, instruction=f"{name.partition('-')[0]} the cube")
    with EpisodeWriter(root, name, told) as writer:
        for number, stamp in enumerate(stamps_of(name, length)):
            for camera in told.contract.cameras:
                writer.image(camera, Frame(picture(number, camera), stamp, number))
            quaternion = rotation_vector_to_xyzw(generator.normal(size=3))
            numbers = [generator.normal(size=size) for size in (7, 7, 3, 6, 6)]
            pose = Pose(numbers[2], quaternion)
            writer.state(
                ArmState(stamp, numbers[0], numbers[1], pose, numbers[3], numbers[4], float(generator.random()))
            )
            writer.status(stamp, TaskStatus(number == length - 1, number / length))
            if number % 2 == 0:
                writer.expert(stamp, generator.normal(size=7))
            requested = generator.normal(size=7)
            if number < len(phrases):
                writer.chunk(ActionChunk(stamp, PERIOD_NS, requested[None], phrases[number]), "rt_h", 0.01)
            source = (Source.POLICY, Source.HUMAN, Source.PHRASE)[number % 3]
            reasons = ("STEP_CLAMPED",) if number == 1 else ()
            writer.executed(ExecutedStep(stamp, number, source, requested, generator.normal(size=7), reasons))
        return writer.close(replace(RESULT, steps=length))


def record_all(root: Path) -> EpisodeStore:
    """Record the episodes of `LENGTHS`; one follows phrases, one is labelled, one has rewards."""
    for name, length in LENGTHS.items():
        record_rich(root, name, length, phrases=("down", "down", "left") if name == "lift-0" else ())
    add_label(root, "lift-1", Label(11, success=False, failure="dropped", author="ann"))
    stamps = stamps_of("place-0", LENGTHS["place-0"])
    add_label(
        root, "place-0", Label(12, phrase="open the gripper", author="ann", phrase_span_ns=(stamps[2], stamps[5]))
    )
    values = (*(0.1 * n for n in range(8)), None)
    add_label(root, "place-0", Label(13, author="vlm", rewards=RewardScores("kagi", values)))
    return EpisodeStore(root)


def export_all(
    store: EpisodeStore, output: Path, settings: ExportSettings = FAST, names: tuple[str, ...] = ()
) -> ExportTotals:
    """Export in this process."""
    names = names or store.names()
    for name in names:
        export_episode(store.root, name, output, settings)
    return assemble(output, names, settings)


def bring(
    root: Path,
    output: Path,
    contract: RobotContract | None = None,
    settings: ImportSettings | None = None,
    *,
    as_foreign: bool = False,
) -> EpisodeStore:
    """Import in this process."""
    settings = settings or ImportSettings()
    dataset = open_dataset(root, as_foreign=as_foreign)
    contract = contract_of(dataset, contract)
    check_fit(dataset, contract, settings)
    for index in plan_import(dataset, output, contract, settings).names:
        import_episode(dataset, index, output, contract, settings)
    return EpisodeStore(output)


def assert_refused(root: Path, match: str, *, as_foreign: bool = True) -> None:
    """See that an import of the data set in `root` stops with one of our errors, and that no episode is there."""
    back = root.parent / "back"
    with pytest.raises((EpisodeError, ConfigurationError, ContractMismatchError), match=match):
        bring(root, back, ROBOT, as_foreign=as_foreign)
    assert not back.exists() or list(back.rglob("*.mcap")) == []


def change_json(path: Path, change: Callable[[Any], object]) -> None:
    """Read a JSON file, let `change` change it, write it."""
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def change_column(path: Path, name: str, change: Callable[[list[Any]], object]) -> None:
    """Read a column of a Parquet file, let `change` change the list of its values, write the file."""
    table = pq.read_table(path)
    place = table.column_names.index(name)
    field = table.schema.field(place)
    values = table[name].to_pylist()
    change(values)
    pq.write_table(table.set_column(place, field, pa.array(values, field.type)), path)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of all files below `folder`."""
    return [row for path in sorted(folder.glob("*/*.parquet")) for row in pq.read_table(path).to_pylist()]
