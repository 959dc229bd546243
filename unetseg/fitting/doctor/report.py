"""The report of an examination, as text of a hundred columns."""

from __future__ import annotations

import sys
import textwrap
from collections import Counter

from ..data.folder import SPLITS
from ..recipe import CLASS_PLACE
from ..words import counted, percent, some
from .diagnosis import Diagnosis
from .findings import WEIGHTS
from .marking import TOOLS
from .mask_values import Labels
from .survey import ImageFacts

WIDTH = 100
MOST_QUESTIONS = 3
"""So many are answered at once; the rest may be settled by that."""


def report_text(diagnosis: Diagnosis) -> str:
    """How a folder is understood, its labels, and the findings, the heaviest first; of questions the first three."""
    lines = [headline(diagnosis)]
    known = [f"  {head:<9} {text}" for head, text in facts(diagnosis)]
    lines += ["", *known] if known else []
    if diagnosis.labels is not None:
        lines += ["", "Labels", *_label_lines(diagnosis.labels, len(diagnosis.examined))]
    heads = {"question": "To be answered before training", "warning": "Worth a look", "note": "By the way"}
    for weight in WEIGHTS:
        here = [finding for finding in diagnosis.findings if finding.weight == weight]
        if here:
            lines += ["", heads[weight]]
        for finding in here[:MOST_QUESTIONS] if weight == "question" else here:
            first, *more = textwrap.wrap(finding.what, WIDTH - 4)
            lines += [f"  * {first}", *(f"    {line}" for line in more)]
            lines += textwrap.wrap(finding.advice, WIDTH - 7, initial_indent="    -> ", subsequent_indent="       ")
        if weight == "question" and (after := questions_after(diagnosis)):
            lines += [f"  {after}"]
    if not diagnosis.ambiguous:
        lines += ["", "Nothing stands against training."]
    return "\n".join(lines)


def questions_after(diagnosis: Diagnosis) -> str | None:
    """How many questions are left when the first ones are answered, in words."""
    more = len(diagnosis.ambiguous) - MOST_QUESTIONS
    return f"and {counted(more, 'more question')} after these" if more > 0 else None


def tell(text: str) -> None:
    """Write to standard output, as reports are; what a terminal can't show, as a question mark."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding) + "\n")
    sys.stdout.flush()  # it stays in order with what is told beside


def headline(diagnosis: Diagnosis) -> str:
    """The folder's name, how many pictures it has, and of how many groups."""
    name, count = diagnosis.folder.resolve().name, len(diagnosis.examined)
    if not count:
        return f"{name}: {counted(len(diagnosis.lone), 'image')}, none with a mask"
    groups = {example.group for example in diagnosis.examples}
    of = f" of {counted(len(groups), 'group')}" if 1 < len(groups) < count else ""
    marks = "masks" if diagnosis.layout.layout.annotations is None else "annotations"
    return f"{name}: {counted(count, 'picture')}{of}, with {marks}"


def facts(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    """How the files lie, sizes and values of the images, groups and split: a word each and what is known."""
    layout = diagnosis.layout.layout
    same = layout.image_name == layout.mask_name
    called = "by the same names" if same else f"{' + '.join(layout.image_names)} and {layout.mask_name}"
    called += f"; {CLASS_PLACE}: {', '.join(layout.class_masks)}" if layout.class_masks else ""
    where = f"{layout.images} and {layout.masks}" if layout.images != layout.masks else layout.images
    folders = f"; split: {', '.join(layout.split_folders.values())}" if layout.split_folders else ""
    how = f"{where}, {called}{folders}"
    if layout.annotations is not None:
        place = "beside them" if layout.masks == layout.images else f"in {layout.masks}"
        place = "in the folder" if place == "in ." else place
        pictures = "pictures" if layout.images == "." else layout.images
        how = f"{pictures}; annotations of {TOOLS[layout.annotations]} {place}{folders}"
    known = [("folders", how)] if diagnosis.examined else []
    images = [s.image for s in diagnosis.examined if isinstance(s.image, ImageFacts)]
    if (lists := diagnosis.grouping.split_lists) is not None:
        known.append(("lists", ", ".join(f"{split}: {name}" for split, name in lists.items())))
    if images:
        by_area = sorted({(image.width * image.height, image.width, image.height) for image in images})
        sizes = " to ".join(f"{width} x {height}" for _, width, height in dict.fromkeys((by_area[0], by_area[-1])))
        fewest, most = (end(image.slices for image in images) for end in (min, max))
        slices = "" if most == 1 else f", {fewest} to {most} slices" if fewest < most else f", {most} slices each"
        kinds = Counter(("RGB" if image.coloured else "grey") + f" {image.dtype}" for image in images)
        low, high = min(image.low for image in images), max(image.high for image in images)
        known.append(("images", f"{sizes} pixels{slices}, {', '.join(kinds)}, values {low:g} to {high:g}"))
    if diagnosis.recipe is not None:
        known.append(("groups", diagnosis.grouping.why))
    if diagnosis.examples:
        parts = []
        for split in SPLITS:
            here = [example for example in diagnosis.examples if example.split == split]
            groups = sorted({example.group for example in here})
            if here:
                which = some(groups) if len(groups) <= 3 else counted(len(groups), "group")
                parts.append(f"{split} {len(here):,}" + (f" ({which})" if len(groups) < len(here) else ""))
        known.append(("split", ", ".join(parts)))
    return known


def _label_lines(labels: Labels, masks: int) -> list[str]:
    lines = []
    wide = max(len(name) for name in labels.values.values())
    for key, name in labels.values.items():
        share, held = percent(labels.shares[key]), f"in {labels.masks[key]:,} of {masks:,}"
        bar = "#" * round(30 * labels.shares[key])
        lines.append(f"  {key:>9}  {name:<{wide}} {share:>8}  {held}  {bar}".rstrip())
    return lines
