"""What `tutelage sim` shows a person."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from tutelage.runs import scenes

_console = Console()


def sim(config: scenes.SimConfig) -> int:
    """Do what is asked for; 0 if it came out well."""
    command = config.command
    match command:
        case scenes.ShowConfig():
            result = scenes.show(command)
            ending = "success" if result.success else result.failure or result.termination
            _console.print(f"{command.task} in {command.room}: {ending} after {result.steps} steps")
            _console.print(f"film strip: {command.output}", soft_wrap=True, markup=False)
            return 0 if result.success else 1
        case scenes.RoomConfig():
            table = Table("parameter", "value", title=command.room)
            for name, value in scenes.room_parameters(command).items():
                table.add_row(name, f"{value:.4g}" if isinstance(value, float) else str(value))
            _console.print(table)
        case scenes.SheetConfig():
            scenes.sheet(command)
            _console.print(f"sheet of {command.rooms} rooms: {command.output}", soft_wrap=True, markup=False)
        case scenes.GalleryConfig():
            for path in scenes.gallery(command):
                _console.print(str(path), soft_wrap=True, markup=False)
        case scenes.ScreenConfig():
            found = scenes.screen_rooms(command)
            for seed, reason in found.rejected.items():
                _console.print(f"{command.split}:{seed} rejected: {reason}", markup=False)
            _console.print(found.summary())
    return 0
