"""Several sets of images or masks that fit alike: asking which is meant, with what to write for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ..data.apart import channels_apart, maybe_classes
from ..data.finding import Found
from ..data.layouts import Layout, Pair, Pairing, pair, stem
from ..recipe import NAME, toml
from ..words import some
from .findings import Finding
from .legend import joined_channels, palette_for
from .mask_values import Labels, propose_labels
from .picture_values import propose_channels, propose_range
from .survey import MaskFacts, image_facts, in_one_way, mask_facts

_Ranges = tuple[tuple[float, float], ...] | None
FIELDS = ("images", "masks", "image_name", "mask_name", "split_folders", "mask_split_folders", "class_masks")
MOST_READ = 40
"""So many files of another candidate are read to say what their values mean."""


@dataclass(frozen=True)
class Candidate:
    """One of several sets of images or masks that fit alike, between which a person has to choose.

    name: the folder, and how its files are called. example: one of them; all candidates show the same picture.
    pair: of annotations, whose files are no pictures, that picture and what is drawn on it.
    """

    what: Literal["images", "masks"]
    name: str
    example: Path
    pair: Pair | None = None


def candidates(folder: Path, found: Found, pairing: Pairing) -> tuple[Candidate, ...]:
    """The candidates of a folder, that of the recipe first; none where nothing else fits as well."""
    if not found.candidates or not pairing.pairs:
        return ()
    shown = [(found.layout, pairing), *((layout, pair(folder, layout)) for layout in found.candidates)]
    names = set.intersection(*({one.name for one in pairs.pairs} for _, pairs in shown))
    chosen = []
    for layout, pairs in shown:
        one = next((one for one in pairs.pairs if one.name in names), pairs.pairs[0])
        what = _what(layout, found.layout if layout is not found.layout else found.candidates[0])
        chosen.append(Candidate(what, _called(layout, what), one.image if what == "images" else one.mask))
    return tuple(chosen)


def which(
    folder: Path, found: Found, pairing: Pairing, labels: Labels | None, channels: Sequence[str], value_range: _Ranges
) -> list[Finding]:
    """The question which of several candidates is meant, with the lines of the recipe for each.

    labels, channels, value_range: what the recipe says for the first.
    """
    there = candidates(folder, found, pairing)
    if not there:
        return []
    findings = []
    for what in ("masks", "images"):
        layouts = [layout for layout in found.candidates if _what(layout, found.layout) == what]
        if not layouts:
            continue
        names = [_called(layout, what) for layout in (found.layout, *layouts)]
        says = f"{len(names)} sets of {what} fit {'the same images' if what == 'masks' else 'the same masks'}"
        ways = [
            f"for {name} write {', '.join(lines)}"
            for name, layout in zip(names[1:], layouts, strict=True)
            if (lines := _lines(folder, layout, found.layout, labels, channels, value_range))
        ]
        advice = f"say which is meant: the proposed recipe takes {names[0]} and can be used if that is right; "
        by_class = maybe_classes([found.layout, *layouts]) if what == "masks" else None
        pictures = {stem(one.image) for one in (*pairing.pairs, *pairing.lone)}  # a folder for each is one of objects
        if by_class is not None and not pictures & {*by_class.class_masks}:
            ways.append(f"if each shows a class of its own write {_class_lines(by_class)}")
        joined = _joined(folder, found.layout, layouts) if what == "images" else None
        if joined and (lines := _lines(folder, joined, found.layout, labels, channels, value_range)):
            ways.append(f"to join their channels write {', '.join(lines)}")
        files = tuple(one.example.relative_to(folder).as_posix() for one in there if one.what == what)
        findings.append(Finding("question", f"{says}: {some(names, 6)}", advice + "; ".join(ways), files))
    return findings


def _what(layout: Layout, other: Layout) -> Literal["images", "masks"]:
    return "images" if (layout.masks, layout.mask_name) == (other.masks, other.mask_name) else "masks"


def _called(layout: Layout, what: str) -> str:
    place = layout.images if what == "images" else layout.masks
    template = " + ".join(layout.image_names) if what == "images" else layout.mask_name
    return place if template == NAME else template if place == "." else f"{place}/{template}"


def _joined(folder: Path, layout: Layout, others: Sequence[Layout]) -> Layout | None:
    """Images of several sets as channels of one; None where they can't be."""
    if len({other.images for other in others} | {layout.images}) == 1:
        return replace(layout, image_name=tuple(name for one in (layout, *others) for name in one.image_names))
    joined = channels_apart(folder, layout, others)
    return joined[0] if joined else None


def _lines(
    folder: Path,
    layout: Layout,
    chosen: Layout,
    labels: Labels | None,
    channels: Sequence[str],
    value_range: _Ranges,
) -> list[str]:
    """What of `[data]` a recipe for this layout says otherwise than for the chosen one; none if it can't be read."""
    lines = [
        f"{field} = {toml(value)}" for field in FIELDS if (value := getattr(layout, field)) != getattr(chosen, field)
    ]
    pairing = pair(folder, layout)
    pairs = pairing.pairs
    if pairing.lone and not pair(folder, chosen).lone:
        lines.append('unannotated = "leave out"')
    if _what(layout, chosen) == "images":
        try:
            images = {one.name: image_facts(one) for one in pairs[:: max(1, len(pairs) // MOST_READ)]}
        except ValueError:  # of other sizes or types than the others
            return []
        several = len(layout.image_names) > 1
        own_channels, _ = joined_channels(folder, layout, images) if several else propose_channels(images)
        own_range, _ = propose_range(images, len(own_channels))
        lines += [f"channels = {toml(own_channels)}"] if own_channels != channels else []
        lines += [f"value_range = {toml(own_range)}"] if own_range is not None and own_range != value_range else []
        return lines
    own = _labels(pairs)
    if own is not None and labels is not None and own.values.keys() != labels.values.keys():
        lines += [f"{field} = {toml(getattr(own, field))}" for field in ("task", "classes", "background", "palette")]
        lines += [f"mask_values = {toml(own.values)}"]
    return lines


def _labels(pairs: Sequence[Pair]) -> Labels | None:
    masks: dict[str, MaskFacts] = {}
    for one in pairs[:: max(1, len(pairs) // MOST_READ)]:
        try:
            masks[one.name] = mask_facts(one)
        except ValueError:  # a candidate that can't be read is told once it is chosen
            continue
    alike = dict(zip(masks, in_one_way(list(masks.values())), strict=True))
    return propose_labels(alike, {})[0] if masks else None


def _class_lines(layout: Layout) -> str:
    """What `[data]` says of masks that show a class each."""
    names = ("background", *layout.class_masks)
    fields = {
        "masks": layout.masks,
        "mask_name": layout.mask_name,
        "class_masks": layout.class_masks,
        "task": "multiclass",
        "classes": layout.class_masks,
        "background": names[0],
        "palette": palette_for(names, True),
        "mask_values": {str(i): name for i, name in enumerate(names)},
    }
    return ", ".join(f"{field} = {toml(value)}" for field, value in fields.items())
