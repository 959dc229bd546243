"""What a stopped run needs to go on: one safetensors file, replaced whole; no pickle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ..files import whole
from .optimisation import Optimizers


@dataclass
class Position:
    """Where a run is. epoch and batch: the next ones to do.

    last, best: the latest and the highest validation score; stale: validations since the highest.
    init: the weights that it began with, by name and hash; None for random ones.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0
    best: float = -1.0
    last: float | None = None
    stale: int = 0
    init: str | None = None


Told = dict[str, dict[str, Any]]
"""What a run was told, section by section: the recipe, and the pictures of each split."""


def save_state(
    path: Path, position: Position, told: Told, network: nn.Module, average: nn.Module, optimizers: Optimizers
) -> None:
    """Write weights, their average, the optimizers' moments, the position and what the run was told."""
    tensors = {f"network.{k}": v for k, v in network.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.state_dict().items()}
    for optimizer, numbers in _numbered(optimizers):
        for i, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{numbers[i]}.{k}": v for k, v in moments.items()}
    metadata = {"position": json.dumps(asdict(position)), "recipe": json.dumps(told)}
    # copies: safetensors refuses channels_last and memory shared between names
    tensors = {k: v.detach().cpu().clone(memory_format=torch.contiguous_format) for k, v in tensors.items()}
    with whole(path) as temporary:
        temporary.write_bytes(save(tensors, metadata))


def load_state(path: Path, told: Told, network: nn.Module, average: nn.Module, optimizers: Optimizers) -> Position:
    """Put a saved state back in place and return its position.

    Raises ValueError if it is damaged, or if it belongs to another recipe or other pictures.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118, not a dict
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged ({error}); start again with another --run-dir") from None
    if not {"recipe", "position"} <= metadata.keys():
        raise ValueError(f"{path} is damaged (it is not the state of a run); start again with another --run-dir")
    old, new = json.loads(metadata["recipe"]), json.loads(json.dumps(told))
    # what only one of them has comes from another version of this package
    shared = ((s, k) for s in new if s in old for k in new[s] if k in old[s])
    if changed := [f"{s}.{k}" for s, k in shared if old[s][k] != new[s][k]]:
        raise ValueError(
            f"{', '.join(changed)} changed since this run began; resume with the same recipe and pictures, "
            "or start anew with another --run-dir"
        )
    network.load_state_dict(_part(tensors, "network."))
    average.load_state_dict(_part(tensors, "average."))
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in _part(tensors, "optimizer.").items():
        index, name = key.split(".")
        moments.setdefault(int(index), {})[name] = value
    for optimizer, numbers in _numbered(optimizers):
        state = {i: moments[number] for i, number in enumerate(numbers) if number in moments}
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return Position(**json.loads(metadata["position"]))


def _numbered(optimizers: Optimizers) -> Iterator[tuple[torch.optim.Optimizer, range]]:
    """Each with the numbers of its parameters, counted through all of them."""
    first = 0
    for optimizer in optimizers:
        count = sum(len(group["params"]) for group in optimizer.param_groups)
        yield optimizer, range(first, first + count)
        first += count


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
