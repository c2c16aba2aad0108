"""Looking at the twin: film strips of the expert, sheets of rooms, a room's parameters, and screening."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, cast

import numpy as np
import tyro

from hardware.safety.gate import make_gate
from sim.parameters import SPLITS, Split, Value
from sim.rooms import Room, parse_room
from sim.screening import Screening, screen
from sim.tasks import TASKS, make_task
from sim.twin import Twin
from tutelage.drivers import ExpertDriver
from tutelage.film_strip import FilmStrip, write_picture
from tutelage.loop import EpisodeOptions, run_episode
from tutelage_core.contract import load_contract
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import EpisodeResult, ImageArray

SHEET_COLUMNS = 6
GALLERY_ROOM = "test:3"


@dataclass(frozen=True)
class ShowConfig:
    """Run a task's expert once and draw what the cameras saw.

    Attributes:
        task: task to show.
        room: `split:number`, such as `test:12`.
        seed: of the layout; the room's number if not given.
        set: room parameters to set instead of drawing them, such as `table.height_m=0.03`.
        profile: render profile.
        columns: instants that are shown.
        robot: robot's contract.
        output: the picture.
    """

    task: str = "PickCube"
    room: str = "lab:0"
    seed: int | None = None
    set: tuple[str, ...] = ()
    profile: Literal["fast", "pretty"] = "pretty"
    columns: int = 12
    robot: str = "twin"
    output: Path = Path("runs/sim/show.png")


@dataclass(frozen=True)
class RoomConfig:
    """Print the parameters of a room.

    Attributes:
        room: `split:number`, such as `test:12`.
        task: task whose own parameters are printed too.
        set: room parameters to set instead of drawing them.
    """

    room: tyro.conf.Positional[str]
    task: str = "PickCube"
    set: tuple[str, ...] = ()


@dataclass(frozen=True)
class SheetConfig:
    """Draw many rooms on one sheet, as the front camera sees them at the start.

    Attributes:
        task: task whose objects stand in the rooms.
        split: split of the rooms.
        rooms: how many.
        first: number of the first one.
        camera: which camera looks.
        profile: render profile.
        robot: robot's contract.
        output: the picture.
    """

    task: str = "PickCube"
    split: Split = "test"
    rooms: int = 30
    first: int = 0
    camera: str = "front"
    profile: Literal["fast", "pretty"] = "pretty"
    robot: str = "twin"
    output: Path = Path("runs/sim/rooms.png")


@dataclass(frozen=True)
class ScreenConfig:
    """Let a task's expert try many rooms; say which are rejected and how many.

    Attributes:
        task: task to try.
        split: split of the rooms.
        rooms: how many.
        first: number of the first one.
        robot: robot's contract.
    """

    task: str = "PickCube"
    split: Split = "test"
    rooms: int = 200
    first: int = 0
    robot: str = "twin"


@dataclass(frozen=True)
class GalleryConfig:
    """Draw the pictures of the docs: a film strip of each task, and a sheet of 30 rooms of each split.

    Attributes:
        tasks: tasks to draw; all if none is named.
        output: folder of the pictures.
    """

    tasks: tuple[str, ...] = ()
    output: Path = Path("docs/images")


@dataclass(frozen=True)
class SimConfig:
    """Look at the twin: its rooms, tasks and experts."""

    command: (
        Annotated[ShowConfig, tyro.conf.subcommand("show", description="film strip of the expert in a room")]
        | Annotated[RoomConfig, tyro.conf.subcommand("room", description="parameters of a room")]
        | Annotated[SheetConfig, tyro.conf.subcommand("sheet", description="contact sheet of many rooms")]
        | Annotated[GalleryConfig, tyro.conf.subcommand("gallery", description="all pictures of the docs")]
        | Annotated[ScreenConfig, tyro.conf.subcommand("screen", description="which rooms the expert cannot solve")]
    )


def show(config: ShowConfig) -> EpisodeResult:
    """Run the expert and write the film strip.

    Raises:
        ConfigurationError: room or parameters are not legal.
        UnknownNameError: task, split, parameter or robot is unknown.
    """
    room = named_room(config.room, config.set)
    seed = room.number if config.seed is None else config.seed
    contract = load_contract(config.robot)
    twin = Twin(contract, config.task, seed, rooms=room.split, profile=config.profile)
    strip = FilmStrip(config.columns)
    driver = ExpertDriver(twin, contract.safety, disturbance=0.0)
    options = EpisodeOptions(seed, extra_steps=3)
    result = run_episode(twin, driver, make_gate(contract), contract, options, listener=strip.add, room=room)
    strip.save(config.output)
    twin.close()
    return result


def room_parameters(config: RoomConfig) -> Mapping[str, Value]:
    """Return all parameters of a room by name, those of the task included.

    Raises:
        ConfigurationError: room or parameters are not legal.
        UnknownNameError: task, split or parameter is unknown.
    """
    room, styles = named_room(config.room, config.set), make_task(config.task).styles
    room.check(styles)
    return room.parameters(styles)


def sheet(config: SheetConfig) -> ImageArray:
    """Draw and write the sheet; return it, shape (rows, columns, 3), uint8, RGB.

    Raises:
        ConfigurationError: fewer than one room.
        UnknownNameError: task, split, camera or robot is unknown.
    """
    if config.rooms < 1:
        raise ConfigurationError(f"a sheet shows at least 1 room, got {config.rooms}")
    twin = Twin(load_contract(config.robot), config.task, config.first, rooms=config.split, profile=config.profile)
    pictures: list[ImageArray] = []
    for number in range(config.first, config.first + config.rooms):
        twin.reset(number)
        pictures.append(twin.render(config.camera))
    twin.close()
    pictures += [np.full_like(pictures[0], 255)] * (-len(pictures) % SHEET_COLUMNS)
    rows = [np.concatenate(pictures[i : i + SHEET_COLUMNS], axis=1) for i in range(0, len(pictures), SHEET_COLUMNS)]
    picture = np.concatenate(rows, axis=0)
    write_picture(config.output, picture)
    return picture


def gallery(config: GalleryConfig) -> list[Path]:
    """Draw all pictures and return their files.

    Raises:
        UnknownNameError: unknown task.
    """
    tasks = config.tasks or tuple(TASKS)
    made: list[Path] = []
    for task in tasks:
        made.append(config.output / f"task-{task}.jpg")
        show(ShowConfig(task=task, room=GALLERY_ROOM, columns=6, output=made[-1]))
    for split in SPLITS:
        made.append(config.output / f"rooms-{split.replace('_', '-')}.jpg")
        sheet(SheetConfig(split=cast("Split", split), output=made[-1]))
    return made


def screen_rooms(config: ScreenConfig) -> Screening:
    """Let the expert try the rooms.

    Raises:
        ConfigurationError: fewer than one room.
        UnknownNameError: task, split or robot is unknown.
    """
    if config.rooms < 1:
        raise ConfigurationError(f"screening needs at least 1 room, got {config.rooms}")
    twin = Twin(load_contract(config.robot), config.task, config.first, rooms=config.split)
    return screen(twin, range(config.first, config.first + config.rooms))


def named_room(text: str, changes: Sequence[str]) -> Room:
    """Return the room that `text` names, with parameters set as `name=value`.

    Raises:
        ConfigurationError: a change is not of that form.
        UnknownNameError: unknown split.
    """
    room = parse_room(text)
    given: list[tuple[str, Value]] = []
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals or not name or not value:
            raise ConfigurationError(
                f"a room parameter is set as name=value, such as table.height_m=0.03, got {change!r}"
            )
        given.append((name, _number(value)))
    return Room(room.split, room.number, tuple(given))


def _number(text: str) -> Value:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
