"""How the pictures of a folder are divided into training and validation, and what is wrong with that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..data.folder import Example, Split, find_examples
from ..data.layouts import Pairing
from ..recipe import IGNORE_NAME, Data
from ..words import counted, some
from .checks import named
from .findings import Finding
from .mask_values import Labels

SEEDS = 20

_Faults = tuple[list[str], list[str], list[Path]]


def divide(
    folder: Path,
    data: Data,
    held: Mapping[Path, set[str]],
    copies: Sequence[Sequence[Path]],
    labels: Labels,
    pairing: Pairing | None = None,
) -> tuple[int, list[Example], list[Finding]]:
    """The first seed by which every label is on both sides and no picture is on two, or else the best one.

    held: the labels of each image. copies: sets of images with the same pixels.
    pairing: as of `find_examples`.
    """
    best: tuple[tuple[bool, bool, bool], int, list[Example], _Faults] | None = None
    for seed in range(SEEDS):
        try:
            examples = find_examples(data, folder, seed, pairing=pairing)
        except ValueError as error:
            return 0, [], [Finding("question", f"the pictures can't be divided: {error}", "then ask again")]
        faults = _faults(examples, held, copies, labels)
        untaught, unseen, twice = faults
        merits = (not untaught, not twice, not unseen)
        if best is None or merits > best[0]:
            best = merits, seed, examples, faults
        if all(merits):
            break
    assert best is not None  # SEEDS is at least 1
    _, seed, examples, (untaught, unseen, twice) = best
    findings = []
    for split in ("train", "val"):
        if not any(example.split == split for example in examples):
            groups = len({example.group for example in examples})
            what = f"{counted(len(examples), 'picture')} of {counted(groups, 'group')}, none for the {split} split"
            advice = "add pictures of other groups; scores need some that training never saw"
            findings.append(Finding("question", what, advice))
            return seed, examples, findings
    if untaught:
        what = f"no training picture shows {some(untaught)}"
        advice = "add pictures that do, take it out of classes, or choose another split"
        if data.group_pattern is not None:
            advice += " (take group_pattern out of the recipe if what it finds are no groups)"
        findings.append(Finding("question", what, advice))
    if twice:
        names = tuple(named(path, folder) for path in twice)
        what = f"{counted(len(twice), 'picture')} with a copy on another side of the split: {some(names)}"
        findings.append(Finding("question", what, "remove one of each, or the scores flatter", names))
    if unseen and not untaught:
        what = f"no validation picture shows {some(unseen)}"
        findings.append(Finding("warning", what, "their scores will be missing; name groups for val that show them"))
    return seed, examples, findings


def _faults(
    examples: Sequence[Example], held: Mapping[Path, set[str]], copies: Sequence[Sequence[Path]], labels: Labels
) -> _Faults:
    """Labels that no training picture shows, labels that validation lacks, pictures with a copy on another side."""
    shown: dict[Split, set[str]] = {"train": set(), "val": set(), "test": set()}
    side = {example.image: example.split for example in examples}
    for example in examples:
        shown[example.split] |= held.get(example.image, set())
    wanted = [name for name in dict.fromkeys(labels.values.values()) if name != IGNORE_NAME]
    twice = [path for paths in copies if len({side[p] for p in paths if p in side}) > 1 for path in paths]
    return [n for n in wanted if n not in shown["train"]], [n for n in wanted if n not in shown["val"]], twice
