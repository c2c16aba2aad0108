"""One training in several processes, as torchrun starts them; with a single process every function does nothing.

Each process holds the whole network, takes its part of every batch, and the gradients are averaged, so that all of them
take the step that one process would have taken with the whole batch.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn

from tutelage_core.errors import ConfigurationError

WORLD = "WORLD_SIZE"
LOCAL_RANK = "LOCAL_RANK"


@contextmanager
def joined(device: torch.device) -> Generator[None]:
    """Join the other processes of this training, if torchrun has started any, until the context ends.

    Args:
        device: of this process; CUDA talks through NCCL, all others through gloo.
    """
    if int(os.environ.get(WORLD, "1")) < 2 or dist.is_initialized():
        yield
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def device_named(name: str) -> torch.device:
    """Return this process's device.

    Args:
        name: `auto`, or as torch names it; of several GPUs each process takes the one of its own number.

    Raises:
        ConfigurationError: there is no such device on this machine.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigurationError(f"device '{name}': use auto, cpu, cuda or cuda:<number>") from error
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise ConfigurationError(f"device '{name}': torch finds no GPU here; use cpu")
        if ":" not in name:
            device = torch.device("cuda", int(os.environ.get(LOCAL_RANK, "0")) % torch.cuda.device_count())
    return device


def rank() -> int:
    """Return the number of this process; 0 leads, and writes."""
    return dist.get_rank() if dist.is_initialized() else 0


def count() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def wait_for_all() -> None:
    """Wait until every process has come here."""
    if dist.is_initialized():
        dist.barrier()


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Give every process the mean of all gradients."""
    if not dist.is_initialized():
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    whole = torch.cat([gradient.flatten() for gradient in gradients])  # one message and not hundreds
    dist.all_reduce(whole)
    whole /= count()
    for gradient, part in zip(gradients, whole.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def sum_of_all(tensor: Tensor) -> Tensor:
    """Return the sum over all processes; the tensor itself with a single one."""
    if not dist.is_initialized():
        return tensor
    total = tensor.clone()
    dist.all_reduce(total)
    return total


def tensor_of_the_first(tensor: Tensor) -> Tensor:
    """Return the first process's tensor, which has the same shape in all of them."""
    if not dist.is_initialized():
        return tensor
    said = tensor.contiguous().clone()
    dist.broadcast(said, src=0)
    return said


def of_the_first(value: float) -> float:
    """Return the first process's number."""
    if not dist.is_initialized():
        return value
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    return float(tensor_of_the_first(torch.tensor([value], dtype=torch.float64, device=device)).item())
