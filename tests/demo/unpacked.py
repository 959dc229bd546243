"""Packed results as the tests read them: headers, and planes whose filters are undone one pixel after the other."""

from __future__ import annotations

import json
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray


def unpacked(data: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The header and the planes (h,w), or (3,h,w) of a picture in colour."""
    start = 4 + int.from_bytes(data[:4], "little")
    header = json.loads(data[4:start])
    planes = {}
    for plane in header["planes"]:
        raw = zlib.decompress(data[start + plane["offset"] :][: plane["bytes"]])
        planes[plane["name"]] = _values(raw, plane)
    assert start + sum(plane["bytes"] for plane in header["planes"]) == len(data)
    return header, planes


def _values(raw: bytes, plane: dict[str, Any]) -> NDArray[Any]:
    height, width = plane["shape"][-2:]
    numbers = np.frombuffer(raw, np.uint8).astype(int)
    if plane["type"] == "int16":
        low, high = numbers.reshape(2, -1)
        folded = low + 256 * high
        numbers = np.where(folded % 2, -(folded + 1) // 2, folded // 2)
    each = [_summed(one, plane["filter"], plane["type"]) for one in numbers.reshape(-1, height, width)]
    if len(each) == 1:
        return each[0]
    red, green, blue = each
    return np.stack([red + green, green, blue + green])


def _summed(rest: NDArray[Any], kind: str, dtype: str) -> NDArray[Any]:
    values = np.zeros((rest.shape[0] + 1, rest.shape[1] + 1), dtype=dtype)
    size = 2 ** (8 * values.itemsize)
    for y, x in np.ndindex(rest.shape):
        left, above, corner = (int(values[at]) for at in ((y + 1, x), (y, x + 1), (y, x)))
        on_plane = left + above - corner
        nearby = on_plane if kind == "plane" else sorted((left, above, on_plane))[1]
        values[y + 1, x + 1] = np.array((nearby + int(rest[y, x])) % size).astype(dtype)
    return values[1:, 1:]
