"""What a person at the terminal sees while a robot learns; a line now and then where there is no terminal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tutelage.learning.coaching import CoachingFigures
from tutelage_core.clock import Clock
from tutelage_core.contract import NS_PER_S
from tutelage_core.errors import ConfigurationError

SCREEN_PERIOD_S = 0.25
"""The panel is drawn at most so often."""

MIB = 2**20


@dataclass(frozen=True)
class DisplayState:
    """What is shown.

    Attributes:
        wall_s: time since the run began, without the time between a stop and a resume [s].
        steps: control periods of all robots in the whole run so far.
        coaching: how the last episodes went.
        advice: what the person should do otherwise, the most urgent first.
        updates: of the learner.
        updates_per_s: [1/s].
        achieved_ratio: updates for each step of the robot.
        target_ratio: what is steered for; None where the learner runs freely.
        stale_updates: updates that the learner is ahead of the acting weights.
        replay_steps: in the replay of what the robot did.
        correction_steps: in the replay of demonstrations and corrections.
        replay_bytes: memory of both.
        learner: what it does, in a word or two: `learning`, `waiting for steps`, `lost`.
        most_steps, most_wall_s: where the run ends; 0 where this does not end it.
    """

    wall_s: float
    steps: int
    coaching: CoachingFigures
    advice: tuple[str, ...]
    updates: int
    updates_per_s: float
    achieved_ratio: float
    target_ratio: float | None
    stale_updates: int
    replay_steps: int
    correction_steps: int
    replay_bytes: int
    learner: str
    most_steps: int = 0
    most_wall_s: float = 0.0


class LiveDisplay:
    """Shows states: a panel on a terminal, else one line every `period_s`. A context manager; starts no threads."""

    def __init__(self, title: str, clock: Clock, *, period_s: float = 10.0, console: Console | None = None) -> None:
        """Prepare the display.

        Args:
            title: what is learnt.
            clock: steady clock.
            period_s: from line to line where there is no terminal [s].
            console: where to; standard output if None.

        Raises:
            ConfigurationError: the period is not positive.
        """
        if not period_s > 0.0:
            raise ConfigurationError(f"LiveDisplay: period_s must be positive, got {period_s}")
        self._title = title
        self._clock = clock
        self._console = console or Console()
        self._on_screen = self._console.is_terminal and not self._console.is_dumb_terminal
        self._period_ns = round((SCREEN_PERIOD_S if self._on_screen else period_s) * NS_PER_S)
        self._live = Live(console=self._console, auto_refresh=False)
        self._shown_ns: int | None = None
        self._pending: DisplayState | None = None

    def __enter__(self) -> LiveDisplay:
        if self._on_screen:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pending is not None:
            self._draw(self._pending)
        if self._on_screen:
            self._live.stop()

    def show(self, state: DisplayState) -> None:
        """Show the state now if it is time to; the last one is shown at the end in any case."""
        now_ns = self._clock.now_ns()
        if self._shown_ns is not None and now_ns - self._shown_ns < self._period_ns:
            self._pending = state
            return
        self._shown_ns = now_ns
        self._draw(state)

    def _draw(self, state: DisplayState) -> None:
        self._pending = None
        if self._on_screen:
            self._live.update(panel(self._title, state), refresh=True)
            return
        self._console.print(plain_line(state), markup=False, highlight=False, emoji=False, soft_wrap=True)


def plain_line(state: DisplayState) -> str:
    """Return the state in one line, with the most urgent advice."""
    figures = state.coaching
    parts = [
        _limited(_duration(state.wall_s), _duration(state.most_wall_s) if state.most_wall_s else ""),
        "step " + _limited(f"{state.steps:,}", f"{state.most_steps:,}" if state.most_steps else ""),
        f"episode {figures.episodes}",
        f"success {_percent(figures.success)} of last {figures.window}",
        f"autonomous {_autonomous(figures)}",
        f"human {_percent(figures.intervention_rate)}",
        f"updates {state.updates:,} ({_number(state.updates_per_s)}/s, {_ratio(state)})",
        f"stale {state.stale_updates}",
        f"replay {_replay(state)}",
        state.learner,
        *(f"! {word}" for word in state.advice[:1]),
    ]
    return " | ".join(parts)


def panel(title: str, state: DisplayState) -> Panel:
    """Return the state as a panel."""
    figures = state.coaching
    bars = Table.grid(padding=(0, 1), expand=True)
    bars.add_column(no_wrap=True)
    bars.add_column(ratio=1)
    bars.add_column(no_wrap=True, justify="right")
    for name, done, most, told in (
        ("steps", state.steps, state.most_steps, f"{state.steps:,}"),
        ("time", state.wall_s, state.most_wall_s, _duration(state.wall_s)),
    ):
        limit = _duration(most) if name == "time" else f"{most:,}"
        bar = ProgressBar(total=most, completed=min(done, most)) if most else Text("")
        bars.add_row(name, bar, _limited(told, limit if most else ""))
    cells = Table.grid(padding=(0, 2), expand=True)
    for style in ("dim", "bold", "dim", "bold"):
        cells.add_column(style=style, overflow="fold")
    rows = (
        ("episodes", f"{figures.episodes}", "learner", state.learner),
        (
            "since the last take-over",
            f"{figures.since_correction}",
            "rewards that err",
            _percent(figures.wrong_rewards),
        ),
        (f"success, last {figures.window}", _percent(figures.success), "updates", f"{state.updates:,}"),
        ("autonomous success", _autonomous(figures), "updates/s", _number(state.updates_per_s)),
        ("rewarded, whole run", _percent(figures.rewarded_of_all), "updates per step", _ratio(state)),
        ("driven by the person", _percent(figures.intervention_rate), "weights behind by", f"{state.stale_updates}"),
        ("take-overs per episode", _number(figures.takeovers_per_episode), "replay", _replay(state)),
        (
            "value on corrections",
            _number(figures.value_on_corrections),
            "value on own steps",
            _number(figures.value_on_policy),
        ),
    )
    for row in rows:
        cells.add_row(*(Text(cell) for cell in row))
    words = [Text(f"! {word}", style="yellow") for word in state.advice]
    return Panel(Group(bars, Text(""), cells, *words), title=Text(title), title_align="left")


def _limited(done: str, most: str) -> str:
    return f"{done} of {most}" if most else done


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100.0 * share:.0f} %"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}" if abs(value) < 10.0 else f"{value:.1f}"


def _autonomous(figures: CoachingFigures) -> str:
    if not figures.uncorrected:
        return "-"
    return f"{_percent(figures.autonomous_success)} of {figures.uncorrected}"


def _ratio(state: DisplayState) -> str:
    target = "free" if state.target_ratio is None else f"target {_number(state.target_ratio)}"
    return f"{_number(state.achieved_ratio)}, {target}"


def _replay(state: DisplayState) -> str:
    return f"{state.replay_steps:,} + {state.correction_steps:,} steps, {state.replay_bytes / MIB:,.0f} MiB"


def _duration(time_s: float) -> str:
    minutes, seconds = divmod(int(time_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
