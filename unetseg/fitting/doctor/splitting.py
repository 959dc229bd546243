"""How the pictures of a folder are divided into training and validation, and what is wrong with that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..folder import Example, Split, find_examples
from ..recipe import IGNORE_NAME, Data
from .checks import copied, named, names_of
from .findings import Finding, counted, some
from .mask_values import Labels
from .survey import MaskFacts, Surveyed

SEEDS = 20


def divide(
    folder: Path, data: Data, examined: Sequence[Surveyed], labels: Labels
) -> tuple[int, list[Example], list[Finding]]:
    """The first seed by which every label is on both sides and no picture is on two, or else the best one."""
    held = {s.pair.image: names_of(s.mask, labels) for s in examined if isinstance(s.mask, MaskFacts)}
    copies = copied(examined)
    best: tuple[tuple[bool, bool, bool], int, list[Example]] | None = None
    for seed in range(SEEDS):
        try:
            examples = find_examples(data, folder, seed)
        except ValueError as error:
            return 0, [], [Finding("question", f"the pictures can't be divided: {error}", "then ask again")]
        untaught, unseen, twice = _faults(examples, held, copies, labels)
        merits = (not untaught, not twice, not unseen)
        if best is None or merits > best[0]:
            best = merits, seed, examples
        if all(merits):
            break
    assert best is not None  # SEEDS is at least 1
    _, seed, examples = best
    untaught, unseen, twice = _faults(examples, held, copies, labels)
    findings = []
    for split in ("train", "val"):
        if not any(example.split == split for example in examples):
            groups = len({example.group for example in examples})
            findings.append(
                Finding(
                    "question",
                    f"{counted(len(examples), 'picture')} of {counted(groups, 'group')}, none for the {split} split",
                    "add pictures of other groups; scores need some that training never saw",
                )
            )
            return seed, examples, findings
    if untaught:
        findings.append(
            Finding(
                "question",
                f"no training picture shows {some(untaught)}",
                "add pictures that do, take it out of classes, or choose another split",
            )
        )
    if twice:
        names = tuple(named(path, folder) for path in twice)
        findings.append(
            Finding(
                "question",
                f"{counted(len(twice), 'picture')} with a copy on another side of the split: {some(names)}",
                "remove one of each, or the scores flatter",
                names,
            )
        )
    if unseen and not untaught:
        findings.append(
            Finding(
                "warning",
                f"no validation picture shows {some(unseen)}",
                "their scores will be missing; name groups for val that show them",
            )
        )
    return seed, examples, findings


def _faults(
    examples: Sequence[Example], held: Mapping[Path, set[str]], copies: Sequence[Sequence[Path]], labels: Labels
) -> tuple[list[str], list[str], list[Path]]:
    """Labels that no training picture shows, labels that validation lacks, pictures that have a copy on another side.

    held: the labels of each image. copies: sets of images with the same pixels.
    """
    shown: dict[Split, set[str]] = {"train": set(), "val": set(), "test": set()}
    side = {example.image: example.split for example in examples}
    for example in examples:
        shown[example.split] |= held.get(example.image, set())
    wanted = [name for name in dict.fromkeys(labels.values.values()) if name != IGNORE_NAME]
    twice = [path for paths in copies if len({side[p] for p in paths if p in side}) > 1 for path in paths]
    return [n for n in wanted if n not in shown["train"]], [n for n in wanted if n not in shown["val"]], twice
