"""The report page of a run: a table, and a film strip of each episode. One file, no network."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from tutelage.film_strip import FilmStrip
from tutelage.runs.graph import GraphOutcome
from tutelage_core.episodes.reader import read_episode
from tutelage_core.intervals import wilson_interval

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1560px; padding: 0 1rem; color: #1c1f24;
       background: #fafaf8; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
table { border-collapse: collapse; } th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; } img { max-width: 100%; image-rendering: pixelated; }
.yes { color: #14733c; font-weight: 600; } .no { color: #a3241b; font-weight: 600; } .note { color: #666; }
"""


def stage_names(outcomes: Sequence[GraphOutcome]) -> list[str]:
    """Return the measured stages in the order in which they first appear."""
    return list(dict.fromkeys(stage for outcome in outcomes for stage in outcome.stage_ms))


def driving_summary(outcomes: Sequence[GraphOutcome]) -> str:
    """Return in a line how the episodes were driven; empty where nothing is known of it."""
    told = [outcome.driving for outcome in outcomes if outcome.driving]
    if not told:
        return ""

    def all_of(name: str) -> list[float]:
        return [figures[name] for figures in told if name in figures]

    parts: list[str] = []
    if rates := all_of("rate_hz"):
        parts.append(f"{median(rates):.1f} steps/s")
    if delays := all_of("delay_ms"):
        parts.append(
            f"chunks {median(delays):.0f} ms after their observation (worst {max(all_of('delay_worst_ms')):.0f})"
        )
    late, clipped = sum(all_of("dropped_steps")), sum(outcome.interventions for outcome in outcomes)
    parts.append(f"{late:.0f} steps came too late and were dropped, {clipped} changed or refused by the gate")
    if jerks := all_of("seam_jerk_m_s3"):
        parts.append(f"jerk at seams {max(jerks):.1f} m/s^3 (99 %)")
    return "; ".join(parts)


def write_report(path: Path, title: str, outcomes: Sequence[GraphOutcome], strips: Path) -> None:
    """Write the page and the film strips.

    Args:
        path: HTML file to write.
        title: what was run.
        outcomes: the episodes; those with a recording get a film strip.
        strips: folder for the film strips as PNG.
    """
    stages = stage_names(outcomes)
    rows = "".join(_row(outcome, stages) for outcome in outcomes)
    head = "".join(
        f"<th>{html.escape(name)}</th>"
        for name in ["seed", "result", "steps", "gate interventions", *(f"{s} [ms]" for s in stages)]
    )
    sections = "".join(_section(outcome, strips) for outcome in outcomes if outcome.recording is not None)
    successes = sum(outcome.success for outcome in outcomes)
    low, high = wilson_interval(successes, len(outcomes)) if outcomes else (0.0, 1.0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title><style>{STYLE}</style>"
        f"<h1>{html.escape(title)}</h1><p>{successes} of {len(outcomes)} episodes succeeded "
        f"<span class=note>(95 % Wilson interval {low:.2f} .. {high:.2f})</span></p>"
        f"<table><tr>{head}</tr>{rows}</table><p>{html.escape(driving_summary(outcomes))}</p>{sections}"
        "<p class=note>Stages: policy = observation seen to chunk seen, transport and inference included; inference = "
        "the policy's own time; gate = command sent to executed action seen; world = executed action to next "
        "observation (physics, rendering, transport).</p></html>",
        encoding="utf-8",
    )


def _row(outcome: GraphOutcome, stages: Sequence[str]) -> str:
    verdict = (
        "<td class=yes>success"
        if outcome.success
        else f"<td class=no>{html.escape(outcome.failure or outcome.termination)}"
    )
    times = "".join(f"<td>{outcome.stage_ms[s]:.1f}" if s in outcome.stage_ms else "<td>" for s in stages)
    return f"<tr><td>{outcome.seed}{verdict}<td>{outcome.steps}<td>{outcome.interventions}{times}"


def _section(outcome: GraphOutcome, strips: Path) -> str:
    if outcome.recording is None:
        return ""
    episode = read_episode(outcome.recording)
    strip = FilmStrip()
    for index in range(len(episode.stamps_ns)):
        label = f"{index} g{episode.executed[index, 6]:.1f}"
        strip.add_images(label, {name: images[index] for name, images in episode.images.items()})
    picture = strips / f"{outcome.recording.name}.png"
    strip.save(picture)
    data = base64.b64encode(picture.read_bytes()).decode()
    verdict = "success" if outcome.success else outcome.failure or outcome.termination
    cameras = ", ".join(episode.images)
    return (
        f"<h2>seed {outcome.seed}: {html.escape(verdict)}, {outcome.steps} steps</h2>"
        f"<img alt='film strip of seed {outcome.seed}' src='data:image/png;base64,{data}'>"
        f"<p class=note>“{html.escape(episode.metadata.instruction)}” · rows: {html.escape(cameras)} · "
        f"label: step, gripper command</p>"
    )
