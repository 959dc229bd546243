"""Sound files made unsound: by accident, as on a bad disk or line, and by what their structure says."""

from __future__ import annotations

import copy
import json
import tomllib
from collections.abc import Callable
from typing import Any

import numpy as np

from unetseg.fitting.recipe import toml

DEEP: Any = None
for _ in range(120):  # what is as deep as a stack has tests of its own
    DEEP = [DEEP]
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1, 256, 2**31, 2**63, 2**70, 10**400, 0.0, -0.5, 1e-300, 1e300, float("nan"), float("inf"),
    "", "1", "\n", "\0", "{name}", "../..", "a" * 10_000, "\ud800",
    [], [[]], [1, "1", None], {}, {"": 0}, DEEP, list(range(1000)),
)  # fmt: skip


def damaged(data: bytes, seed: int) -> bytes:
    """A file cut off, with bytes or bits changed, or with a part doubled or left out; the same for the same seed."""
    random = np.random.default_rng(seed)
    # formats have their headers at the beginning
    reach = min(len(data), (len(data), 64, 512, 4096)[seed % 4])
    changed = bytearray(data)
    first, last = sorted(random.integers(0, reach + 1, 2).tolist())
    match seed // 4 % 6:
        case 0:
            return data[: int(random.integers(0, reach))]
        case 1:
            return data[:last] + data[first:]
        case 2:
            return data[:first] + random.bytes(last - first) + data[last:]
        case 3:
            for place in random.integers(0, 8 * reach, random.integers(1, 9)).tolist():
                changed[place // 8] ^= 1 << place % 8
        case _:
            for place in random.integers(0, reach, random.integers(1, 21)):
                changed[place] = random.choice([0, 1, 0x7F, 0x80, 0xFF, int(random.integers(256))])
    return bytes(changed)


def damaged_json(data: bytes, seed: int) -> bytes:
    """JSON some of whose values and names are others, or its bytes."""
    return data_of(data, seed, json.loads, lambda tree: json.dumps(tree).encode())


def damaged_toml(data: bytes, seed: int) -> bytes:
    """A recipe some of whose values and names are others, or its bytes."""

    def write(tree: dict[str, Any]) -> bytes:
        lines = []
        for name, table in tree.items():
            fields = table.items() if isinstance(table, dict) else [(name, table)]
            lines += [f"[{name}]"] * isinstance(table, dict) + [f"{key} = {toml(value)}" for key, value in fields]
        return "\n".join(lines).encode("utf-8", "surrogatepass")

    return data_of(data, seed, lambda text: tomllib.loads(text.decode()), write)


def damaged_safetensors(data: bytes, seed: int) -> bytes:
    """The header, which is JSON, with other values and names, and of the right length; or its bytes."""
    length = int.from_bytes(data[:8], "little")

    def write(tree: dict[str, Any]) -> bytes:
        header = json.dumps(tree).encode()
        return len(header).to_bytes(8, "little") + header + data[8 + length :]

    return data_of(data, seed, lambda whole: json.loads(whole[8 : 8 + length]), write)


def data_of(data: bytes, seed: int, read: Callable[[bytes], Any], write: Callable[[Any], bytes]) -> bytes:
    """Half of them changed as trees of lists and objects, half as bytes."""
    if seed % 2:
        return damaged(data, seed // 2)
    random = np.random.default_rng(seed)
    tree = read(data)
    for _ in range(random.integers(1, 4)):
        if not (places := list(_places(tree))):
            break
        parent, key = places[random.integers(len(places))]
        odd = copy.deepcopy(ODD[random.integers(len(ODD))])
        match random.integers(5):
            case 0:
                del parent[key]
            case 1 if isinstance(parent, dict):
                parent[str(odd)[:50]] = parent.pop(key)
            case 2 if isinstance(parent[key], str) and parent[key]:  # as the JSON in the metadata of a state
                parent[key] = damaged(parent[key].encode("utf-8", "replace"), int(random.integers(10**6))).decode(
                    "latin-1"
                )
            case 3:
                other, name = places[random.integers(len(places))]
                parent[key] = copy.deepcopy(other[name])
            case _:
                parent[key] = odd
    return write(tree)


def _places(tree: Any) -> Any:  # noqa: ANN401, an iterator of (list or dict, key)
    for key, value in list(tree.items() if isinstance(tree, dict) else enumerate(tree)):
        yield tree, key
        if isinstance(value, dict | list):
            yield from _places(value)
