"""What a person sees of online learning: a live panel, curves, and the evaluation at the end."""

from __future__ import annotations

from rich.console import Console

from tutelage.learning.curves import draw_run
from tutelage.learning.live_display import LiveDisplay
from tutelage.runs import train_hil_serl as training
from tutelage.runs import train_success_classifier as classifier
from tutelage.runs import train_tower as tower
from tutelage.runs.evaluate_run import evaluate_run
from tutelage_core.clock import SteadyClock
from tutelage_core.contract import load_contract

_console = Console()


def train_hil_serl(config: training.TrainHilSerlConfig) -> int:
    """Learn a task with HIL-SERL, evaluate the policy and draw the curves."""
    clock = SteadyClock()
    title = f"HIL-SERL: {config.task}, seed {config.seed}"
    with LiveDisplay(title, clock, console=_console) as display:
        policy = training.train_hil_serl(config, clock, display.show, _console.print)
    if config.evaluation_episodes:
        _console.print(evaluate_run(config).summary())
    curves = draw_run(config.output, control_rate_hz=load_contract(config.robot).control_rate_hz)
    _console.print(f"policy: {policy}\ncurves: {curves}")
    return 0


def train_success_classifier(config: classifier.TrainSuccessClassifierConfig) -> int:
    """Train a success classifier, and say how far it can be trusted."""
    trained = classifier.train_success_classifier(config)
    _console.print(f"{trained.summary()}\nclassifier: {trained.folder}")
    return 0


def train_tower(config: tower.TrainTowerConfig) -> int:
    """Train the model of images and text, and say where it is."""
    _console.print(f"tower: {tower.train(config)}")
    return 0
