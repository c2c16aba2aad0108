"""What `tutelage replay-incident` shows a person."""

from __future__ import annotations

import json

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hardware.safety import black_box
from sim.incidents import Incident
from sim.instability import BadValue
from sim.resimulation import BlowUp
from tutelage.runs import replay_incident as replaying
from tutelage.runs.replay_black_box import draw_black_box

_console = Console()

LISTED_VALUES = 5
LISTED_STEPS = 20


def replay_incident(config: replaying.ReplayIncidentConfig) -> int:
    """Replay an incident, 0 if it came out the same and 1 if not; or open a black box."""
    if (config.folder / black_box.RECORD).is_file():
        return _show_black_box(config)
    replay = replaying.replay_incident(config)
    _console.print(_story(replay.incident))
    _console.print(_speed_table(replay.speeds))
    _console.print(_verdict(replay), highlight=False)
    _console.print(f"film strip: {escape(str(replaying.draw_incident(replay.incident, config)))}", soft_wrap=True)
    return 0 if replay.reproduced else 1


def _show_black_box(config: replaying.ReplayIncidentConfig) -> int:
    record = black_box.read_black_box(config.folder)
    table = Table(title=escape(f"Stopped: {record.cause} (robot {record.robot})"))
    for name in ("stamp [s]", "source", "asked [mm]", "done [mm]", "reasons"):
        table.add_column(name, overflow="fold")
    for about, asked, done in list(zip(record.steps, record.requested, record.executed, strict=True))[-LISTED_STEPS:]:
        way = [" ".join(f"{1e3 * value:.1f}" for value in step[:3]) for step in (asked, done)]
        why = ", ".join([*about["reasons"], *([about["detail"]] if about["detail"] else [])])
        table.add_row(f"{about['stamp_ns'] / 1e9:.3f}", about["source"], *way, escape(why))
    _console.print(table)
    for path in draw_black_box(record, config.out.parent if config.out else config.folder):
        _console.print(f"picture: {escape(str(path))}", soft_wrap=True)
    return 0


def _story(incident: Incident) -> Table:
    record = incident.record
    begun = record.blow_up
    table = Table(title=escape(f"Incident {incident.folder.name}"), show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    told = {name: value if isinstance(value, str) else json.dumps(value) for name, value in record.context.items()}
    rows = [
        ("seen at", f"{record.time_s:.3f} s, {incident.steps[-1]} physics steps after the last stored state"),
        ("began at", _place(begun) if begun else "unknown: the last block does not blow up when it is simulated again"),
        ("first bad", _list(begun.bad if begun else record.bad)),
        ("bad when seen", _list(record.bad)),
        ("MuJoCo warned", ", ".join(f"{name} {count} x" for name, count in record.warnings.items()) or "no"),
        ("last target", json.dumps(record.last_target)),
        ("stored", f"{len(incident.states)} states, {sum(incident.steps)} physics steps"),
        *told.items(),
        ("versions", ", ".join(f"{name} {version}" for name, version in record.versions.items())),
    ]
    for name, value in rows:
        table.add_row(escape(name), escape(value))
    return table


def _speed_table(states: tuple[replaying.Speeds, ...]) -> Table:
    table = Table(title="Largest velocities; the last line is where it was seen")
    table.add_column("time [s]", justify="right")
    for place in ("fastest joint", "second", "third"):
        table.add_column(place)
    for state in states:
        cells = (escape(f"{joint} {speed:.4g} {unit}") for joint, speed, unit in state.fastest)
        table.add_row(f"{state.time_s:.3f}", *cells)
    return table


def _verdict(replay: replaying.IncidentReplay) -> str:
    again, record = replay.resimulation, replay.incident.record
    lines: list[str] = []
    if again.differing:
        numbers = ", ".join(str(n) for n in again.differing[:LISTED_VALUES])
        lines.append(
            f"[yellow]{len(again.differing)} stored states were not reached again bit for bit (first: {numbers}): "
            "something other than physics changed them, or another version or machine simulates differently[/yellow]"
        )
    if again.blow_up is None:
        lines.append(
            f"[red]not reproduced[/red]: {again.steps} physics steps were simulated again and none of them blew up; "
            "if version and machine are the same, something outside physics wrote into the state"
        )
    elif again.blow_up == record.blow_up:
        lines.append(f"[green]reproduced[/green]: it blows up again at the same step, {_place(again.blow_up)}")
    else:
        lines.append(f"[red]not the same[/red]: it now blows up at {_place(again.blow_up)}: {_list(again.blow_up.bad)}")
    return "\n".join(lines)


def _place(blow_up: BlowUp) -> str:
    return f"{blow_up.time_s:.3f} s, {blow_up.step} physics steps after stored state {blow_up.state}"


def _list(bad: tuple[BadValue, ...]) -> str:
    more = f" and {len(bad) - LISTED_VALUES} more" if len(bad) > LISTED_VALUES else ""
    return "; ".join(str(value) for value in bad[:LISTED_VALUES]) + more
