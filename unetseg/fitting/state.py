"""What a stopped run needs to go on: one safetensors file, replaced whole; no pickle."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from .. import hub
from ..files import one_line, whole
from .optimisation import Muon, Optimizers

MOMENTS = {Muon: ("momentum",), torch.optim.AdamW: ("step", "exp_avg", "exp_avg_sq")}
"""What each optimizer keeps of a parameter, from its first step on."""


Count = Annotated[int, Field(ge=0)]


@dataclass
class Position:
    """Where a run is. epoch and batch: the next ones to do.

    last, best: the latest and the highest validation score; stale: validations since the highest.
    init: the weights that it began with, by name and hash; None for random ones.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    epoch: Count = 0
    batch: Count = 0
    step: Count = 0
    seconds: float = 0.0
    loss_sum: float = 0.0
    best: float = -1.0
    last: float | None = None
    stale: Count = 0
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
        old = TypeAdapter(Told).validate_json(metadata.get("recipe", ""))
        position = TypeAdapter(Position).validate_json(metadata.get("position", ""))
    except (SafetensorError, OSError) as error:
        raise _damaged(path, str(error)) from None
    except ValidationError as error:
        raise _damaged(path, f"what it says of the run: {error.errors()[0]['msg']}") from None
    new = json.loads(json.dumps(told))
    # what only one of them has comes from another version of this package
    shared = ((s, k) for s in new if s in old for k in new[s] if k in old[s])
    if changed := [f"{s}.{k}" for s, k in shared if old[s][k] != new[s][k]]:
        raise ValueError(
            f"{', '.join(changed)} changed since this run began; resume with the same recipe and pictures, "
            "or start anew with another --run-dir"
        )
    if wrong := _unlike(tensors, network, average, optimizers) or hub.faulty(tensors):
        raise _damaged(path, wrong)
    network.load_state_dict(_part(tensors, "network."))
    average.load_state_dict(_part(tensors, "average."))
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in _part(tensors, "optimizer.").items():
        index, name = key.split(".")
        moments.setdefault(int(index), {})[name] = value
    for optimizer, numbers in _numbered(optimizers):
        state = {i: moments[number] for i, number in enumerate(numbers) if number in moments}
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return position


def _damaged(path: Path, why: str) -> ValueError:
    return ValueError(f"{path} is damaged ({one_line(why)}); start again with another --run-dir")


def _unlike(
    tensors: Mapping[str, Tensor], network: nn.Module, average: nn.Module, optimizers: Optimizers
) -> str | None:
    """What of a state these can't take over, in words: a name, a type or a shape."""
    expected = {f"network.{name}": value for name, value in network.state_dict().items()}
    expected |= {f"average.{name}": value for name, value in average.state_dict().items()}
    for optimizer, numbers in _numbered(optimizers):
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        for number, parameter in zip(numbers, parameters, strict=True):
            for name in MOMENTS[type(optimizer)]:
                expected[f"optimizer.{number}.{name}"] = torch.zeros(()) if name == "step" else parameter
    if different := sorted(expected.keys() ^ tensors.keys()):
        return f"{different[0]} is lacking or unknown"
    for name, value in tensors.items():
        got, fits = (f"{x.dtype} {tuple(x.shape)}".removeprefix("torch.") for x in (value, expected[name]))
        if got != fits:
            return f"{name} is {got}, expected {fits}"
    return None


def _numbered(optimizers: Optimizers) -> Iterator[tuple[torch.optim.Optimizer, range]]:
    """Each with the numbers of its parameters, counted through all of them."""
    first = 0
    for optimizer in optimizers:
        count = sum(len(group["params"]) for group in optimizer.param_groups)
        yield optimizer, range(first, first + count)
        first += count


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
