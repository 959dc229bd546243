"""The recipe that a folder seems to ask for, as TOML with the reasons."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from ...hub import seal
from ...hub.seal import TOML, sealed
from ..data.finding_annotations import Marked
from ..data.layouts import Layout
from ..recipe import NAME, Recipe, toml
from ..words import counted, percent
from .grouping import Grouping
from .marking import meanings
from .mask_values import Labels

LARGE = 640
"""Pictures whose longer side is mostly above are seen at their own resolution, in crops."""
WORKING_SIZE = 256
STEPS = 3000
"""A small network from random weights has seen enough after some thousand steps."""
MOST_EPOCHS = 400


@dataclass(frozen=True)
class Plan:
    """Sizes of the network and of the run."""

    working_size: int | None
    widths: tuple[int, ...]
    crop: int
    batch_size: int
    epochs: int
    why_size: str
    why_epochs: str


def plan(sizes: Sequence[tuple[int, int]], training: int, firm: float) -> Plan:
    """What fits pictures of these (height, width), so many of them for training.

    firm: of the thinnest label, the share of pixels inside of regions; thin things would not outlive a reduction.
    """
    longest = [max(size) for size in sizes]
    middle = median(longest)
    of = f"{min(longest)} pixels" if min(longest) == max(longest) else f"{min(longest)} to {max(longest)} pixels"
    working_size: int | None
    if middle > LARGE:
        working_size, why = None, f"longer sides of {of}: seen at their own resolution, in crops"
        side = 256 if middle < 1024 else 384
    elif middle <= WORKING_SIZE:
        working_size = max(16, int(middle))
        side, why = working_size, f"longer sides of {of}, mostly small: one size for all"
    elif firm >= 0.85:
        working_size = WORKING_SIZE
        side, why = (
            working_size,
            f"longer sides of {of}, and labels that fill regions: these show at {WORKING_SIZE} as well",
        )
    else:
        working_size = int(middle)
        side, why = working_size, f"longer sides of {of}, and a label so thin that a smaller size would lose them"
    widths = (16, 32, 64, 128, 256, 256)[: 6 if side >= 224 else 5 if side >= 96 else 4 if side >= 48 else 3]
    stride = 2 ** (len(widths) - 1)
    crop = max(16, math.ceil(side / stride) * stride)
    crops = 0
    for height, width in sizes:
        ratio = 1 if working_size is None else working_size / max(height, width)
        crops += max(1, math.ceil(height * ratio * width * ratio / crop**2))
    crops = max(1, round(crops * training / len(sizes)))
    batch_size = min(4 if crop > WORKING_SIZE else 8, max(2, crops // 6))  # few pictures still make some steps
    per_epoch = max(1, crops // batch_size)
    epochs = min(MOST_EPOCHS, max(10, math.ceil(STEPS / per_epoch)))
    return Plan(
        working_size,
        widths,
        crop,
        batch_size,
        epochs,
        why,
        f"{counted(crops, 'crop')} for training make {counted(per_epoch, 'step')} an epoch, "
        f"so {per_epoch * epochs:,} steps in all",
    )


def stale_sizes(recipe: Recipe, sizes: Sequence[tuple[int, int]]) -> str | None:
    """What no longer fits, in one sentence, of a recipe that somebody edited, to pictures of these (height, width)."""
    working, crop = recipe.model.working_size, recipe.train.crop
    longest = int(median(max(size) for size in sizes))
    stride = 2 ** (len(recipe.model.widths) - 1)
    if working is not None and (working > 1.5 * longest or 4 * working < longest):
        how = "enlarged, which shows no more" if working > longest else "reduced, so that small things are lost"
        return (
            f"working_size is {working}, but the longer sides of the pictures are about {longest} pixels: they are "
            f"{how}; take working_size = {longest}, or let the doctor propose a recipe again"
        )
    largest = working if working is not None else round(longest * recipe.model.working_scale)
    needed = max(16, math.ceil(largest / stride) * stride)
    if crop >= 2 * needed or (working is not None and crop > needed):
        return (
            f"crop is {crop}, but the network sees pictures of about {largest} pixels, and the rest of each crop is "
            f"empty; take crop = {needed}"
        )
    return None


@dataclass(frozen=True)
class Proposal:
    """What a recipe for a folder of this name says.

    volumes: whether there are any. sizes: (height, width) of its images, of volumes of each slice. legend: a file of
    names. marked: the annotations, where there are no masks. lone: whether there are images without a mask.
    """

    name: str
    layout: Layout
    labels: Labels
    channels: tuple[str, ...]
    value_range: tuple[tuple[float, float], ...] | None
    window: tuple[float, float] | None
    volumes: bool
    grouping: Grouping
    sizes: tuple[tuple[int, int], ...]
    legend: str | None = None
    marked: Marked | None = None
    lone: bool = False

    def text(self, *, training: int, seed: int = 0, questions: Sequence[str] = ()) -> str:
        """The recipe as TOML, for so many training pictures or slices; what a person has to answer first stands above.

        Its last line holds a digest of all others, so that `is_edited` can tell.
        """
        run = plan(self.sizes, training, self.labels.firm)
        sections = [_head(self.name, questions), _data(self), _values(self), _model(run)]
        sections += [_augment(self.channels), _train(run, seed)]
        text = "\n\n".join("\n".join(lines) for lines in sections) + "\n"
        return sealed(text, TOML)


def is_edited(path: Path) -> bool:
    """Whether a file is there that is no proposal, or is one that somebody changed."""
    if not path.exists():
        return False
    return seal.is_edited(path.read_text(encoding="utf-8", errors="replace"), TOML)


def _head(name: str, questions: Sequence[str]) -> list[str]:
    lines = [
        f"# Proposed by `python -m unetseg doctor` for the folder {_comment(name)}. Every value may be changed; all are"
    ]
    lines += ["# documented in unetseg/fitting/recipe.py.", *(["#", "# To be answered first:"] if questions else [])]
    for question in questions:
        lines += textwrap.wrap(_comment(question), 110, initial_indent="# - ", subsequent_indent="#   ")
    return lines


def _data(proposal: Proposal) -> list[str]:
    layout, labels, grouping = proposal.layout, proposal.labels, proposal.grouping
    why = (
        "rename them as you like, here and in mask_values" if proposal.legend is None else f"named by {proposal.legend}"
    )
    lines = ["[data]", f"task = {toml(labels.task)}  # {_TASKS[labels.task]}"]
    lines += [f"classes = {toml(labels.classes)}  # {why}"]
    if labels.background is not None:
        lines += [f"background = {toml(labels.background)}"]
    lines += [f"palette = {toml(labels.palette)}"]
    seen = "no picture has colours" if len(proposal.channels) == 1 else "as stored"
    seen = "one file each, in the order of image_name" if len(layout.image_names) > 1 else seen
    lines += [f"channels = {toml(proposal.channels)}  # {seen}"]
    if proposal.value_range is not None:
        lines += [f"value_range = {toml(proposal.value_range)}  # stored black and white, by what occurs"]
    if proposal.window is not None:
        lines += [f"window = {toml(proposal.window)}  # Hounsfield units that are black and white: soft tissue"]
    if proposal.volumes:
        lines += ['orientation = "LPS"  # as slices of volumes are turned, whatever way they are stored']
    lines += [f"images = {toml(layout.images)}", f"masks = {toml(layout.masks)}"]
    for key, template in (("image_name", layout.image_name), ("mask_name", layout.mask_name)):
        if template != NAME:
            lines += [f"{key} = {toml(template)}"]
    if proposal.marked is not None:
        lines += _annotations(proposal.marked)
    elif proposal.lone:
        lines += ['unannotated = "leave out"  # images without a mask']
    if layout.class_masks:
        lines += [f"class_masks = {toml(layout.class_masks)}  # 1, 2 and so on in mask_values; the smaller lies on top"]
    for key, folders in (
        ("split_folders", layout.split_folders),
        ("mask_split_folders", layout.mask_split_folders),
    ):
        if folders is not None:
            lines += [f"{key} = {toml(dict(folders))}"]
    if grouping.split_lists is not None:
        lines += [f"split_lists = {toml(dict(grouping.split_lists))}"]
    for key in ("manifest", "group_column", "split_column"):
        if (value := getattr(grouping, key)) is not None:
            lines += [f"{key} = {toml(value)}"]
    lines += [f"# groups: {_comment(grouping.why)}"]
    if grouping.group_pattern is not None:
        lines += [f"group_pattern = '{grouping.group_pattern}'"]
    if grouping.same_group:
        lines += [f"same_group = {toml(grouping.same_group)}"]
    if grouping.split_column is None and "val" not in (layout.split_folders or grouping.split_lists or {}):
        lines += ['val = 0.2  # of the groups, drawn with the seed of [train]; or name groups: ["one", "other"]']
    return lines


def _annotations(marked: Marked) -> list[str]:
    kind = marked.layout.annotations
    assert kind is not None
    overlap = next(iter(marked.parts.values())).overlap
    order = "as the tool draws them" if overlap == "later" else "or it might not be seen"
    lines = [f"annotations = {toml(kind)}", f"overlap = {toml(overlap)}  # of two objects this one is seen, {order}"]
    if marked.pairing.lone:
        lines += ['unannotated = "leave out"  # or "background", if these pictures show none of the classes']
    return lines


def _values(proposal: Proposal) -> list[str]:
    labels = proposal.labels
    if proposal.marked is not None:
        lines = ["[data.annotation_labels]"]
        if "0" in labels.values:
            lines += [f"# where no object is: {labels.values['0']}, {percent(labels.shares['0'])} of the pixels"]
        for label, (name, key) in meanings(labels, proposal.marked).items():
            seen = "no pixel of it is seen"
            if key in labels.values:
                seen = f"{percent(labels.shares[key])} of the pixels, on {counted(labels.masks[key], 'picture')}"
            lines += [f"{toml(label)} = {toml(name)}  # {seen}"]
        return lines
    lines = ["[data.mask_values]"]
    for key, name in labels.values.items():
        where = f"{percent(labels.shares[key])} of the pixels, in {counted(labels.masks[key], 'mask')}"
        lines += [f"{toml(key) if key.startswith('#') else key} = {toml(name)}  # {where}"]
    return lines


def _model(run: Plan) -> list[str]:
    size = f"working_size = {run.working_size}" if run.working_size is not None else "# so no working_size"
    return ["[model]", f"# {run.why_size}", size, f"widths = {toml(run.widths)}"]


def _augment(channels: Sequence[str]) -> list[str]:
    lines = ["[augment]", "# where a mirrored or turned picture is as likely (from above, under a microscope) add"]
    lines += ['# flip = ["horizontal", "vertical"] and rotate = 180', "rotate = 10", "scale = 1.25", "translate = 0.1"]
    lines += ["gamma = 1.25", "contrast = 1.15", "brightness = 0.05", *(["color = 1.05"] if len(channels) == 3 else [])]
    return [*lines, "noise = 0.03", "blur = 0.6"]


def _train(run: Plan, seed: int) -> list[str]:
    lines = ["[train]", f"# {run.why_epochs}", f"epochs = {run.epochs}", f"batch_size = {run.batch_size}"]
    lines += [f"crop = {run.crop}", 'optimizer = "muon"', f"warmup_epochs = {max(1, round(run.epochs * 0.05))}"]
    if run.epochs >= 100:
        lines += [f"validate_every = {run.epochs // 50}"]
    if seed:
        lines += [f"seed = {seed}  # the first that shows every label on both sides, and no picture twice"]
    return lines


_TASKS = {
    "binary": "one class or background: one sigmoid",
    "multiclass": "every pixel has exactly one label: one softmax over all",
}


def _comment(text: str) -> str:
    """Text from file names as part of a comment: one line, without what TOML forbids there."""
    return "".join(c if c.isprintable() else " " for c in text.encode("utf-8", "replace").decode("utf-8"))
