"""What the values of masks may mean: labels, a value to ignore, blurred borders, numbered objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from ...config import Task
from ..recipe import IGNORE_NAME, number_range
from ..words import counted, percent, some
from .findings import Finding, Weight
from .legend import palette_for
from .survey import MOST_OBJECTS, MaskFacts
from .value_noise import NOISE, noise, with_noise
from .value_table import MOST_LABELS, Table

BACKGROUND_WORDS = {"background", "bg", "none", "nothing"}
IGNORE_WORDS = {IGNORE_NAME, "ignored", "unlabeled", "unlabelled", "void", "unknown", "undefined"}
A_CLASS = "name it in mask_values and classes, with a colour in palette and the task multiclass"
VOID = (65535, 255, 254, -1)
"""What is customary for pixels that nobody labelled."""
VOC_BORDER = 0xE0E0C0
"""With which Pascal VOC colours the borders of its objects."""
RARE = 1e-4
"""A smaller share of all pixels is rather a slip than a label."""
_TRANSPARENT: tuple[tuple[Literal["hidden", "faint"], Weight, str], ...] = (
    ("hidden", "note", "they count as black, since nobody sees them"),
    ("faint", "warning", "they count by their full colour; save masks without transparency or soft borders"),
)


@dataclass(frozen=True)
class Labels:
    """The labels that masks seem to hold.

    values: keys of `mask_values` to names. shares, masks: of each key, the share of all pixels and how many masks
    hold it. firm: of the label with the least of it, the background too, the share of pixels that lie inside of regions
    (small for thin things).
    """

    task: Task
    classes: tuple[str, ...]
    background: str | None
    palette: tuple[str, ...]
    values: dict[str, str]
    shares: dict[str, float]
    masks: dict[str, int]
    firm: float


def propose_labels(masks: Mapping[str, MaskFacts], legend: Mapping[str, str]) -> tuple[Labels | None, list[Finding]]:
    """The labels of masks by file name, as `[data]` needs them, and what is odd about them.

    legend: value (`3` or `#3c1098`) to name, of what is known. None where a person has to say what is a label.
    """
    found: list[Finding] = []
    coloured = any(mask.coloured for mask in masks.values())
    if coloured and (flat := [name for name, mask in masks.items() if mask.channels == 1]):
        what = f"{counted(len(flat), 'mask')} with numbers, while others hold colours: {some(flat)}"
        found.append(Finding("question", what, "save all masks in one way", tuple(flat)))
        masks = {name: mask for name, mask in masks.items() if mask.channels == 3}
    table = Table(masks, coloured)
    _palettes(masks, found)
    _transparent(masks, found)
    names = {value: legend[key] for value in table.pixels if (key := table.key(value)) in legend}
    keys = _instances(masks, table, found) if not coloured and not names else None
    if keys is None:
        keys = _blurred(table, names, found)
    merged: dict[int, int] = {}
    if keys is None:
        merged = noise(table, names, found)
        clean = table.merged(merged)
        strays = _strays(clean, names, found)
        keys = {table.key(v): IGNORE_NAME if v in strays else names.get(v, "") for v in sorted(clean.pixels)}
        _void(keys, clean, found)
        keys = with_noise(keys, merged, table)
    keys = {key: IGNORE_NAME if name.lower() in IGNORE_WORDS else name for key, name in keys.items()}
    keys = dict(sorted(keys.items(), key=lambda item: item[1] == IGNORE_NAME))
    meant = [key for key, name in keys.items() if name != IGNORE_NAME]
    if len(meant) < 2:
        held = f"hold only the value {meant[0]}" if meant else "hold no value that could be a label"
        what = f"the masks {held}, so there is nothing to tell apart"
        found.append(Finding("question", what, "save masks in which every label has a value of its own"))
        return None, found
    if len(meant) > MOST_LABELS:
        what = f"the masks hold {len(meant):,} values or more, and a model has at most {MOST_LABELS} labels"
        found.append(Finding("question", what, "save masks in which each class, not each object or shade, has a value"))
        return None, found
    if coloured:
        found.append(
            Finding("note", f"the masks are RGB pictures of {len(keys)} colours", "the recipe names each colour")
        )
    elif set(keys) == {"0", "255"}:
        found.append(
            Finding("note", "the masks hold 0 and 255", "the recipe reads 255 as the class and 0 as background")
        )
    same = {table.key(value): table.key(main) for value, main in merged.items()} if coloured else {}
    return _labels(keys, meant, table, same), found


def _palettes(masks: Mapping[str, MaskFacts], found: list[Finding]) -> None:
    """Masks with a palette each, as programs that reduce colours write it, mean other things by one number."""
    seen: dict[int, tuple[str, str]] = {}
    for name, mask in masks.items():
        for value, colour in mask.palette.items():
            first, before = seen.setdefault(value, (name, colour))
            if before != colour:
                what = f"the palettes of the masks differ: {value} is {before} in {first} and {colour} in {name}"
                found.append(Finding("question", what, "save all masks as RGB, or as numbers with one palette"))
                return


def _transparent(masks: Mapping[str, MaskFacts], found: list[Finding]) -> None:
    """What lies below full transparency is read as nothing; what shows through in part, as if it didn't."""
    for kind, weight, advice in _TRANSPARENT:
        pixels = {name: getattr(mask, kind) for name, mask in masks.items() if getattr(mask, kind)}
        if pixels:
            share = percent(sum(pixels.values()) / sum(masks[n].height * masks[n].width for n in pixels))
            words = "with colours under full transparency" if kind == "hidden" else "in part half transparent"
            what = f"{counted(len(pixels), 'mask')} {words} ({share} of their pixels): {some(tuple(pixels))}"
            found.append(Finding(weight, what, advice, tuple(pixels)))


def _instances(masks: Mapping[str, MaskFacts], table: Table, found: list[Finding]) -> dict[str, str] | None:
    """Masks that number their objects hold 1 to n without a gap, n being another in every mask.

    Few numbers may be classes too: of these some mask should lack one that is not the last, and a class lies in
    several pieces or on another one (a lesion on its organ).
    """
    held = [(set(mask.pixels) - {0}, mask.objects) for mask in masks.values() if mask.channels == 1]
    held = [(values, objects) for values, objects in held if values]
    numbered = [len(values) for values, _ in held if max(values) == len(values)]
    several = [objects for values, objects in held if len(values) > 1]
    many = max(numbered, default=0) > MOST_OBJECTS and len(numbered) >= 0.8 * len(held)
    few = len(numbered) == len(held) and 2 * sum(several) > len(several)
    if len(set(numbered)) < 2 or not (many or few):
        return None
    what = f"the masks hold the numbers 0 to {max(table.pixels)} without a gap, as if each object had its own"
    advice = (
        "if so, the proposed recipe makes one class of all of them and can be used; if each number is a class, "
        "name them in mask_values"
    )
    found.append(Finding("question", what, advice))
    return {"0": "", f"1-{max(table.pixels)}": ""}


def _blurred(table: Table, names: Mapping[int, str], found: list[Finding]) -> dict[str, str] | None:
    """Values that lie between others and never fill a region come from smoothing or lossy compression.

    There are many of them, or they line the borders.
    """
    low, high = min((v for v in table.pixels if v >= 0), default=0), max(table.pixels)
    loose = [v for v in table.pixels if low < v < high and not table.is_firm(v) and v not in names]
    many = len(loose) >= 8 and 2 * len(loose) >= len(table.pixels)
    if not many and sum(table.pixels[v] for v in loose if table.is_blend(v)) < max(1, RARE * table.total):
        return None
    holders = table.holders(loose)
    share = sum(table.pixels[v] for v in loose) / table.total
    what = (
        f"{counted(len(holders), 'mask')} with in-between values ({percent(share)} of the pixels, "
        f"{len(table.pixels):,} values in all), as smoothing, resizing or JPEG leave them: {some(holders)}"
    )
    advice = "save the masks again without smoothing (nearest neighbour, PNG)"
    if not many:
        advice += ", or name these values in mask_values if they mean something"
    main: list[int] = []
    for value, pixels in table.pixels.most_common():
        near = not table.coloured and any(abs(value - other) <= NOISE for other in main)
        if many:
            meant = table.is_firm(value) and pixels >= 1e-3 * table.total and not near
        else:
            meant = value not in loose and pixels >= RARE * table.total
        if value in names or meant:
            main.append(value)
    main.sort()
    if not table.coloured and len(main) == 2:
        middle = (main[0] + main[1] + 1) // 2
        dark, light = ([v for v in table.pixels if abs(v - m) <= NOISE] for m in main)
        ids = any(v != main[0] and table.is_firm(v) and table.pixels[v] >= RARE * table.total for v in dark)
        if len(dark) + len(light) == len(table.pixels) and main[1] - main[0] > 4 * NOISE and not ids:
            found.append(Finding("warning", what, f"the recipe cuts at {middle}; {advice}", holders))
        else:
            advice += f", or use the proposed recipe, which cuts at {middle}"
            found.append(Finding("question", what, advice, holders))
        return {f"0-{middle - 1}" if middle > 1 else "0": "", f"{middle}-{max(high, 255)}": ""}
    if table.coloured:
        found.append(Finding("question", what, advice, holders))
        return {table.key(value): names.get(value, "") for value in main}
    found.append(Finding("question", what, f"{advice}, or use the proposed recipe, which ignores them", holders))
    keys = {str(value): names.get(value, "") for value in main}
    for before, after in pairwise([-1, *main, max(high, 255) + 1]):
        if after - before > 1:
            keys[f"{before + 1}-{after - 1}"] = IGNORE_NAME
    return keys


def _strays(table: Table, names: Mapping[int, str], found: list[Finding]) -> set[int]:
    rare = {
        v
        for v, n in table.pixels.items()
        if v not in names and n < RARE * table.total and (n < 20 or not table.is_firm(v))
    }
    if rare and len(table.pixels) - len(rare) >= 2:
        holders = table.holders(sorted(rare))
        values = [f"{table.key(v)} ({counted(table.pixels[v], 'pixel')})" for v in sorted(rare)]
        what = (
            f"stray values that hardly occur, in {counted(len(holders), 'mask')}: {some(values)}; first in {holders[0]}"
        )
        advice = f"the recipe ignores them; if one is a class, {A_CLASS}"
        found.append(Finding("warning", what, advice, holders))
        return rare
    return set()


def _void(keys: dict[str, str], table: Table, found: list[Finding]) -> None:
    """Ignores customary numbers for "not labelled": beside ids, or where they are but borders between others."""
    if table.coloured:
        key = table.key(VOC_BORDER)
        if keys.get(key) == "" and table.is_border(VOC_BORDER):
            keys[key] = IGNORE_NAME
            what = f"{key} lies as a thin border between others, on {percent(table.pixels[VOC_BORDER] / table.total)}"
            advice = f"the recipe ignores it, as Pascal VOC means it; if it is a class, {A_CLASS}"
            found.append(Finding("warning", f"{what} of the pixels", advice, tuple(table.names[VOC_BORDER])))
        return
    others = sorted(int(key) for key, name in keys.items() if name != IGNORE_NAME and int(key) not in VOID)
    for value in VOID:
        # of two voids the last number might be one, and without two others it is the class itself
        if keys.get(str(value)) != "" or (value >= 0 and (len(others) < 2 or others[-1] > value)):
            continue
        ids = any(after - before == 1 for before, after in pairwise(others)) and others[-1] < value - MOST_OBJECTS
        if value >= 0 and not ids and not table.is_border(value):
            continue
        keys[str(value)] = IGNORE_NAME
        holders = tuple(table.names[value])
        if others == [0, 1] and not set(table.names[1]) & set(holders):
            what = (
                f"{counted(len(table.names[1]), 'mask')} with 1 and {len(holders):,} with {value}, but none with "
                "both, as if two programs had saved one class"
            )
            advice = f"save all masks with the same numbers, or give {value} the name of 1 in mask_values"
            found.append(Finding("question", what, advice, holders))
            continue
        share = percent(table.pixels[value] / table.total)
        border = ", as a thin border between others" if table.is_border(value) else ""
        beside = some([str(other) for other in others])
        what = f"{value} stands beside the numbers {beside}{border}, on {share} of the pixels"
        greys = value == 255 and len(others) == 2 and others[0] == 0 and abs(others[1] - 128) <= 1
        if greys:  # drawn in grey, white is as likely a class: a membrane, say
            advice = f"the recipe ignores it; if it is a class, {A_CLASS}"
        else:
            advice = f"the recipe ignores it, as is customary; if it is a class, {A_CLASS}"
        found.append(Finding("question" if greys else "warning", what, advice, holders))


def _labels(keys: dict[str, str], meant: Sequence[str], table: Table, same: Mapping[str, str]) -> Labels:
    """same: keys that mean the same as another one, which they differ from by noise."""
    coloured = table.coloured
    zero = "#000000" if coloured else "0"
    background_key = next((key for key in meant if keys[key].lower() in BACKGROUND_WORDS), None)
    first = meant[0]
    if background_key is None and not keys[first] and (first == zero or first.startswith("0-")):
        background_key = first
    taken: set[str] = set()
    named = dict(keys)
    classes = [key for key in meant if key != background_key]
    order = classes if background_key is None else [background_key, *classes]
    for number, key in enumerate(order, 0 if background_key is not None else 1):
        name = keys[key] or ("background" if key == background_key else f"class{number}")
        while name in taken:
            name += "_"
        taken.add(name)
        named[key] = name
    named |= {key: named[main] for key, main in same.items()}
    shares, masks = {}, {}
    firm: Counter[str] = Counter()
    solid: Counter[str] = Counter()
    for key in named:
        values = (
            [int(key[1:], 16)]
            if coloured
            else [v for v in table.pixels if number_range(key)[0] <= v <= number_range(key)[1]]
        )
        shares[key] = sum(table.pixels[value] for value in values) / table.total
        masks[key] = len(table.holders(values))
        firm[named[key]] += sum(table.firm[value] for value in values)
        solid[named[key]] += sum(table.pixels[value] for value in values)
    return Labels(
        task="binary" if len(classes) == 1 else "multiclass",
        classes=tuple(named[key] for key in classes),
        background=named[background_key] if background_key is not None else None,
        # colours that the makers of coloured masks know
        palette=tuple(order) if coloured else palette_for([named[key] for key in order], background_key is not None),
        values=named,
        shares=shares,
        masks=masks,
        firm=min(firm[name] / max(1, solid[name]) for name in taken),
    )
