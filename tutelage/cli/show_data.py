"""What `tutelage data` shows a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from tutelage.runs import cache, data, lerobot, show_episode
from tutelage.runs.statistics import StatsConfig, statistics

_console = Console()
MB = 1_000_000


@dataclass(frozen=True)
class DataConfig:
    """What to do with a folder of recorded episodes."""

    command: (
        Annotated[data.ListConfig, tyro.conf.subcommand("list", description="the episodes of a folder, a line each")]
        | Annotated[data.InfoConfig, tyro.conf.subcommand("info", description="one episode, looked at closely")]
        | Annotated[
            show_episode.ShowEpisodeConfig, tyro.conf.subcommand("show", description="one episode as a picture")
        ]
        | Annotated[data.RepairConfig, tyro.conf.subcommand("repair", description="mend what was cut off or damaged")]
        | Annotated[data.LabelConfig, tyro.conf.subcommand("label", description="add a judgement beside a recording")]
        | Annotated[data.SplitConfig, tyro.conf.subcommand("split", description="divide into parts for training")]
        | Annotated[StatsConfig, tyro.conf.subcommand("stats", description="success, and distributions of all values")]
        | Annotated[lerobot.ExportConfig, tyro.conf.subcommand("export", description="to a LeRobotDataset v3")]
        | Annotated[lerobot.ImportConfig, tyro.conf.subcommand("import", description="from a LeRobotDataset v3")]
        | Annotated[cache.CacheConfig, tyro.conf.subcommand("cache", description="decoded frames and features on disk")]
    )


def data_command(config: DataConfig) -> int:
    """Do what is asked for; 0 if it came out well."""
    command = config.command
    match command:
        case data.ListConfig():
            return _list(command)
        case data.InfoConfig():
            return _info(command)
        case show_episode.ShowEpisodeConfig():
            for path in show_episode.show_episode(command):
                _say(str(path))
        case data.RepairConfig():
            return 1 if data.repair_episodes(command, lambda report: _say(str(report))) else 0
        case data.LabelConfig():
            _say(f"kept in {data.label(command)}")
        case data.SplitConfig():
            for part, names in data.split(command).items():
                _say(f"{part}: {len(names)} episodes")
        case StatsConfig():
            _stats(command)
        case lerobot.ExportConfig():
            totals = lerobot.export(command)
            size_mb = totals.bytes / MB
            _say(f"{totals.episodes} episodes, {totals.frames} frames, {size_mb:.1f} MB in {command.output}")
            if totals.has_language:
                _say("it has a column of phrases, which LeRobot 0.4 refuses: --settings.no-language leaves it out")
        case lerobot.ImportConfig():
            imported = lerobot.import_(command)
            _say(f"{imported.imported} episodes made in {command.output}, {imported.skipped} were there")
        case cache.CacheConfig():
            _say(cache.cache(command).summary())
    return 0


def _list(command: data.ListConfig) -> int:
    rows = data.list_episodes(command)
    table = Table("episode", "task", "seed", "by", "steps", "by hand", "result", "MB")
    for row in rows:
        if row.fault:
            table.add_row(row.name, "", "", "", "", "", f"[red]damaged[/red]: {row.fault}", "")
            continue
        result = "success" if row.success else row.failure or row.termination
        table.add_row(
            row.name,
            row.task,
            str(row.seed),
            row.policy or "?",
            str(row.steps),
            str(row.human_steps or ""),
            result + (" (label)" if row.is_labelled else ""),
            f"{row.bytes / MB:.1f}",
        )
    _console.print(table)
    sound = [row for row in rows if not row.fault]
    size_mb = sum(row.bytes for row in sound) / MB
    successes = sum(row.success for row in sound)
    _say(f"{len(sound)} episodes, {successes} successes, {size_mb:.1f} MB; {len(rows) - len(sound)} damaged")
    for partial in data.partial_episodes(command.dataset):
        _say(f"not finished: {partial.name} ({partial.reason}); tutelage data repair mends what can be")
    return 1 if len(sound) < len(rows) else 0


def _info(command: data.InfoConfig) -> int:
    manifest, health = data.info(command)
    metadata, result = manifest.metadata, manifest.result
    _say(f"{command.episode.name}: {metadata.task}, '{metadata.instruction}', seed {metadata.seed} {metadata.room}")
    by = f"{metadata.policy} {metadata.policy_sha256[:12]}".strip() or "?"
    _say(f"robot {manifest.robot}, by {by}; {result.steps} control periods, {result.human_periods} by hand")
    ending = " ".join(filter(None, (result.termination, result.failure)))
    _say(f"ended: {ending}" + (", a success" if result.success and result.termination != "success" else ""))
    table = Table("topic", "messages", "Hz", "largest gap, s")
    for topic in health.topics:
        table.add_row(topic.topic, str(topic.messages), f"{topic.rate_hz:.1f}", f"{topic.largest_gap_s:.3f}")
    _console.print(table)
    parity = health.parity
    if parity.chunks > parity.silent:
        _say(f"{parity.same} of {parity.chunks} chunks: what the policy saw is here, byte for byte")
    for complaint in health.complaints:
        _console.print(f"[yellow]{complaint}[/yellow]", soft_wrap=True)
    return 1 if health.complaints else 0


def _stats(command: StatsConfig) -> None:
    found = statistics(command)
    table = Table("task", "episodes", "successes", "95 % interval", "steps", "by hand", "failures")
    for row in found.tasks:
        low, high = row.interval
        failures = ", ".join(f"{kind} {number}" for kind, number in row.failures.items())
        table.add_row(
            row.task,
            str(row.episodes),
            str(row.successes),
            f"{low:.2f} .. {high:.2f}",
            str(row.steps),
            f"{100 * row.human_share:.0f} %",
            failures,
        )
    _console.print(table)
    values = Table("value", "min", "mean", "std", "max")
    for name, numbers in found.features.items():
        minimum, mean, std, maximum = (_flat(numbers[key]) for key in ("min", "mean", "std", "max"))
        for index in range(len(mean)):
            label = f"{name} {index}" if len(mean) > 1 else name
            cells = (f"{column[index]:.4g}" for column in (minimum, mean, std, maximum))
            values.add_row(label, *cells)
    _console.print(values)


def _flat(values: object) -> list[float]:
    if not isinstance(values, list):
        return [float(values)]  # type: ignore[arg-type]
    return [number for value in values for number in _flat(value)]


def _say(text: str) -> None:
    _console.print(text, soft_wrap=True, markup=False, highlight=False)
