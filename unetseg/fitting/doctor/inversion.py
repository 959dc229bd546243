"""Masks in which class and background are exchanged: told by where the class lies, and by its tone in the picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from ..data.folder import colour_codes
from ..data.joined import read_joined, read_stored
from ..data.layouts import Pair, is_volume
from ..recipe import number_range
from ..words import counted, some
from .checks import named
from .findings import Finding
from .mask_values import Labels
from .survey import GRID, MaskFacts, Surveyed

RIM = 0.9
"""Of the outermost pixels: what so large a part of them shows lies around the rest."""
LEAST_INSIDE = 0.01
FAINT = 0.3
"""Deviations of a picture: if class and background differ by less, their tone tells nothing."""
MOST_READ = 40
"""So many pictures of those that are as usual say what tone the class has."""


def inverted(examined: Sequence[Surveyed], labels: Labels, folder: Path) -> list[Finding]:
    """Masks in which the class lies around the background, where in the others it lies within, or the other way.

    Told by the rims of the masks: of data in which both happen by nature, many rims are of both. Asked only where the
    class has the other tone too: a hole in a thing that fills its picture has the tone of the background.
    """
    if labels.task != "binary" or labels.background is None:
        return []
    (name,) = labels.classes
    within: list[Surveyed] = []
    around: list[Surveyed] = []
    both = 0
    for one in examined:
        if not isinstance(one.mask, MaskFacts) or isinstance(one.image, str):
            continue
        pixels, rim = by_name(one.mask.pixels, labels), by_name(one.mask.rim, labels)
        if min(pixels[name], pixels[labels.background]) < LEAST_INSIDE * pixels.total():
            continue
        share = rim[name] / max(1, rim.total())
        if RIM > share > 1 - RIM:
            both += 1
        else:
            (within if share <= 1 - RIM else around).append(one)
    few, many = sorted((within, around), key=len)
    if not few or len(many) < 3 or both > 0.1 * (len(few) + len(many)):
        return []
    usual = float(np.median([_contrast(s.pair, labels) for s in many[:: max(1, len(many) // MOST_READ)]]))
    if abs(usual) < FAINT:
        return []
    files = tuple(named(s.pair.mask, folder) for s in few if _contrast(s.pair, labels) * np.sign(usual) <= -FAINT)
    if not files:
        return []
    where = ("within", "around") if few is around else ("around", "within")
    what = (
        f"{name} lies {where[0]} the {labels.background} in {counted(len(many), 'mask')} and {where[1]} it in "
        f"{len(files):,}, where it has the other's tone, as if these were inverted: {some(files)}"
    )
    advice = "exchange the two values in these masks, or if they are right train by the proposed recipe"
    return [Finding("question", what, advice, files)]


def by_name(counts: Mapping[int, int], labels: Labels) -> Counter[str]:
    """Of each label, the sum of the counts of its values."""
    found: Counter[str] = Counter()
    for key, name in labels.values.items():
        low, high = _ends(key)
        if here := [number for value, number in counts.items() if low <= value <= high]:
            found[name] += sum(here)
    return found


def _ends(key: str) -> tuple[int, int]:
    return (int(key[1:], 16),) * 2 if key.startswith("#") else number_range(key)


def _contrast(pair: Pair, labels: Labels) -> float:
    """How much brighter the class is than the rest of its picture (of a volume, of the middle slice), in deviations."""
    image = read_joined(pair)
    stored = read_stored(pair, image.place, image.pixels.shape[1:3])
    tones = image.pixels[len(image.pixels) // 2].mean(axis=2, dtype=np.float32)  # (H,W)
    if is_volume(pair.mask) and stored.ndim == 3:
        stored = stored[len(stored) // 2]
    elif stored.ndim == 3:
        coloured = any(key.startswith("#") for key in labels.values)
        stored = colour_codes(stored) if coloured else stored[..., 0]
    rows, columns = ((2 * np.arange(GRID) + 1) * side // (2 * GRID) for side in stored.shape)
    few = stored[rows[:, None], columns]
    inside = np.zeros(few.shape, dtype=bool)
    for key, name in labels.values.items():
        if name in labels.classes:
            low, high = _ends(key)
            inside |= (few >= low) & (few <= high)
    small: NDArray[np.float32] = np.asarray(PIL.Image.fromarray(tones).resize((GRID, GRID), PIL.Image.Resampling.BOX))
    if inside.all() or not inside.any() or small.std() == 0:
        return 0.0
    return float((small[inside].mean() - small[~inside].mean()) / small.std())
