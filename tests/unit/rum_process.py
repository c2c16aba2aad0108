"""What each of torchrun's processes runs in `test_training_processes.py`: some steps, and the weights to a file."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from policies import processes
from policies.rum.training import RumTraining
from tests.unit.test_rum_training import KEYS, config, frames
from tests.unit.test_training_processes import quiet


def main(head: str, folder: Path, steps: int) -> None:
    torch.set_num_threads(1)
    with processes.joined(torch.device("cpu")):
        settings = quiet() if head == "mlp_without_noise" else config(head, vq_steps=steps // 2)
        training = RumTraining(frames(), settings, KEYS)
        for _ in range(steps):
            training.take_step()
        save_file(training.network.learned_state(), folder / f"{processes.rank()}.safetensors")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
