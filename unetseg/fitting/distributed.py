"""Training in several processes that `torchrun` started; every function does nothing much where there is one."""

from __future__ import annotations

import contextlib
import gc
import importlib
import traceback
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..config import SegmentationConfig
from ..scores.metrics import ConfusionMatrix

T = TypeVar("T")


@contextlib.contextmanager
def processes(device: torch.device) -> Iterator[torch.device]:
    """Join the other processes while inside: gloo on CPUs, nccl on GPUs; gives this process's own device.

    At the end, what still holds the group is let go, networks in the frames of an error too: threads of a group that
    outlives Python's last moments may ask for Python once more, and end the process by "terminate called without an
    active exception".
    """
    if not dist.is_torchelastic_launched():
        yield device
        return
    if device.type == "cuda":
        device = torch.device("cuda", dist.get_node_local_rank())
        torch.cuda.set_device(device)
    if dist.is_initialized():
        yield device
        return
    # as defaults, its functions keep the group that is there when torch imports it, and torch does so on its own
    importlib.import_module("torch.distributed.nn.functional")
    # the others wait while the first one writes its report
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(days=1))
    try:
        yield device
    except BaseException as error:
        traceback.clear_frames(error.__traceback__)
        raise
    finally:
        gc.collect()
        dist.destroy_process_group()


def rank() -> int:
    """The number of this process; 0 writes files."""
    return dist.get_rank() if dist.is_initialized() else 0


def count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def share(things: Sequence[T]) -> Sequence[T]:
    """This process's part of something: every `count`-th."""
    return things[rank() :: count()]


def same_buffers(network: nn.Module) -> None:
    """Give every process the running statistics of the first: those of each are of its own share of the pictures."""
    if dist.is_initialized():
        for buffer in network.buffers():
            dist.broadcast(buffer, src=0)


def wait() -> None:
    """Go on when all processes have come this far."""
    if dist.is_initialized():
        dist.barrier()


def total(x: Tensor) -> Tensor:
    """The sum of a tensor over all processes; gradients flow back to each."""
    return _Total.apply(x) if dist.is_initialized() else x  # type: ignore[no-untyped-call]


def any_of_them(flag: bool, device: torch.device) -> bool:
    """Whether any process says yes."""
    if not dist.is_initialized():
        return flag
    flags = torch.tensor(int(flag), device=device)
    dist.all_reduce(flags, dist.ReduceOp.MAX)
    return bool(flags.item())


def merged(groups: dict[str, ConfusionMatrix], config: SegmentationConfig) -> dict[str, ConfusionMatrix]:
    """The counts of all processes, summed by group, in the same order everywhere."""
    if not dist.is_initialized():
        return groups
    parts: list[dict[str, ConfusionMatrix]] = [{} for _ in range(count())]
    dist.all_gather_object(parts, groups)
    names = sorted({name for part in parts for name in part})
    return {name: sum((part[name] for part in parts if name in part), start=ConfusionMatrix(config)) for name in names}


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, x: Tensor) -> Tensor:  # noqa: ANN401, what autograd hands over
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401
        gradient = gradient.clone()
        dist.all_reduce(gradient)
        return gradient
