"""The doctor: examines a folder of images and masks, says what is odd and proposes a recipe."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...files import whole
from ...formats import Raster, Series, Volume
from ..data.finding import Found, find_layout
from ..data.finding_annotations import find_annotations
from ..data.folder import Example, find_examples
from ..data.layouts import Pairing, pair
from ..recipe import SPLITS, Data, Recipe
from . import marking
from .alignment import misaligned
from .checks import (
    absent,
    copied,
    empty,
    misplaced,
    named,
    repeated,
    unequal,
    unmasked,
    unreadable,
    volumes,
)
from .choosing import Candidate, candidates, which
from .findings import WEIGHTS, Finding
from .ground import same_ground
from .grouping import Grouping, joined, propose_groups
from .inversion import by_name, inverted
from .legend import joined_channels, read_legend
from .listing import by_lists, find_lists
from .mask_values import Labels, propose_labels
from .overlap import same_content
from .picture_values import propose_channels, propose_range, propose_window, tone_jumps
from .proposal import Proposal
from .splitting import divide
from .survey import ImageFacts, MaskFacts, Surveyed, survey


@dataclass(frozen=True)
class Diagnosis:
    """What an examination of a folder found.

    findings: by weight, the heaviest first. recipe: the proposed one as TOML, None where the masks say too little.
    layout, examined, lone: how the files lie, all pairs with their facts, and images without a mask.
    labels, examples: as the recipe has them; no examples where it doesn't fit yet.
    candidates: where several sets of images or masks fit alike, all of them, the one that the recipe takes first.
    """

    folder: Path
    findings: tuple[Finding, ...]
    recipe: str | None
    layout: Found
    examined: tuple[Surveyed, ...]
    lone: tuple[Path, ...]
    labels: Labels | None
    examples: tuple[Example, ...]
    grouping: Grouping
    candidates: tuple[Candidate, ...] = ()

    @property
    def ambiguous(self) -> tuple[str, ...]:
        """The questions that only a person can answer, one sentence each; none: training may start."""
        return tuple(finding.sentence for finding in self.findings if finding.weight == "question")

    def write_recipe(self, path: Path) -> None:
        """Write the proposed recipe; ValueError where there is none to propose."""
        if self.recipe is None:
            raise ValueError(f"there is no recipe to propose for {self.folder}; answer the questions first")
        with whole(path) as temporary:
            temporary.write_text(self.recipe, encoding="utf-8")

    def parsed(self) -> Recipe | None:
        """The proposed recipe as training reads it."""
        return None if self.recipe is None else parsed(self.recipe)


def diagnose(folder: Path, *, progress: bool = False) -> Diagnosis:
    """Examine a folder: read every picture once, as training would, and propose a recipe.

    Raises ValueError for what is no folder or holds no pictures.
    """
    folder = folder.resolve()
    found = find_layout(folder)
    pairing = pair(folder, found.layout)
    marked, about_annotations, rivals = marking.choose(folder, found, pairing, *find_annotations(folder))
    if marked is not None:
        found, pairing = marking.understood(found, marked), marked.pairing
    pairs, lone = list(pairing.pairs), list(pairing.lone)
    findings = about_annotations + misplaced(pairing, found, folder)
    if found.layout.split_folders is None:
        lists, about_lists = find_lists(folder, {image.name: image.image for image in (*pairs, *lone)})
    else:
        lists, about_lists = None, []
    grouping, about_groups = propose_groups(folder, [(image.split, image.name) for image in (*pairs, *lone)])
    if lists is not None:
        grouping, about_groups = by_lists(grouping, about_groups, lists)
    findings += about_lists
    if grouping.listed is not None:
        pairs = [image for image in pairs if image.name in grouping.listed]
        lone = [image for image in lone if image.name in grouping.listed]
    if marked is not None:
        findings += marking.problems(marked, folder)
    elif pairs or not any(finding.weight == "question" for finding in about_annotations):  # these say why
        findings += unmasked(lone, len(pairs), found, folder)
    examined = survey(pairs, progress=progress)
    findings += unreadable(examined, folder) + unequal(examined, folder) + misaligned(examined, folder)
    findings += about_groups if pairs else []
    images = {named(s.pair.image, folder): s.image for s in examined if isinstance(s.image, ImageFacts)}
    masks = {named(s.pair.mask, folder): s.mask for s in examined if isinstance(s.mask, MaskFacts)}
    labels, recipe = None, None
    examples: list[Example] = []
    if images and masks:
        if marked is None:
            legend_file, legend, about_legend = read_legend(folder, found.layout, masks)
        else:
            legend_file, legend, about_legend = "the annotations", marking.legend_of(marked), []
        findings += about_legend
        labels, about_labels = propose_labels(masks, legend)
        if marked is not None and labels is not None:
            labels = marking.coloured(labels, marked)
            about_labels += marking.hidden(labels, marked)
        several = len(found.layout.image_names) > 1
        channels, about_channels = (
            joined_channels(folder, found.layout, images) if several else propose_channels(images)
        )
        value_range, about_range = propose_range(images, len(channels))
        window, about_window = propose_window(images)
        findings += which(folder, found, pairing, labels, channels, value_range)
        findings += about_labels + about_channels + about_range + about_window
        if labels is not None:
            held = {
                s.pair.image: set(by_name(s.mask.pixels, labels)) for s in examined if isinstance(s.mask, MaskFacts)
            }
            findings += empty(dict(zip(masks, held.values(), strict=True)), labels)
            findings += inverted(examined, labels, folder)
            findings += absent(found.layout, labels)
            copies = copied(examined)
            sizes = tuple((i.height, i.width) for i in images.values() for _ in range(i.slices))
            proposal = Proposal(
                folder.name,
                found.layout,
                labels,
                channels,
                value_range,
                window,
                any(isinstance(image.place, (Series, Volume)) for image in images.values()),
                grouping,
                sizes,
                legend_file,
                marked,
                bool(lone),
            )
            data = parsed(proposal.text(training=len(sizes))).data
            grouping, about_ground = _by_ground(folder, data, grouping, examined, pairing)
            data = data.model_copy(update={"same_group": grouping.same_group})
            grouping, about_content = _by_content(folder, data, grouping, examined, pairing, progress)
            findings += about_ground + about_content + volumes(images)
            proposal = replace(proposal, grouping=grouping)
            data = data.model_copy(update={"same_group": grouping.same_group})
            seed, examples, about_split = divide(folder, data, held, copies, labels, pairing)
            # that it can't be divided may only say again what has been said
            said = bool(lone or pairing.twice) or any(finding.weight == "question" for finding in about_groups)
            findings += about_split if examples or not said else []
            told = {name for finding in about_split for name in finding.names}
            copies = [paths for paths in copies if not any(named(path, folder) in told for path in paths)]
            told |= {name for finding in about_content for name in finding.names}
            findings += repeated(examined, copies, examples, folder, told)
            of_group: dict[str, dict[str, ImageFacts]] = {}
            for example in examples:
                if (name := named(example.image, folder)) in images:
                    of_group.setdefault(example.group, {})[name] = images[name]
            findings += tone_jumps(of_group)
            questions = [finding.sentence for finding in findings if finding.weight == "question"]
            slices = {s.pair.image: s.image.slices for s in examined if isinstance(s.image, ImageFacts)}
            training = sum(slices.get(e.image, 1) for e in examples if e.split == "train") or len(sizes)
            recipe = proposal.text(training=training, seed=seed, questions=questions)
    findings.sort(key=lambda finding: WEIGHTS.index(finding.weight))
    return Diagnosis(
        folder,
        tuple(findings),
        recipe,
        found,
        tuple(examined),
        tuple(image.image for image in lone),
        labels,
        tuple(examples),
        grouping,
        (*rivals, *candidates(folder, found, pairing)),
    )


def _by_ground(
    folder: Path, data: Data, grouping: Grouping, examined: Sequence[Surveyed], pairing: Pairing
) -> tuple[Grouping, list[Finding]]:
    """The groups, those that overlap on the ground joined."""
    places = {
        s.pair.image: s.image.place
        for s in examined
        if isinstance(s.image, ImageFacts) and isinstance(s.image.place, Raster)
    }
    if not places:
        return grouping, []
    try:
        examples = find_examples(data, folder, pairing=pairing)
    except ValueError:  # as `divide` tells
        return grouping, []
    same, findings = same_ground(examples, places, folder)
    why = grouping.why + "; those that overlap on the ground are one" if same else grouping.why
    return replace(grouping, same_group=same, why=why), findings


def _by_content(
    folder: Path, data: Data, grouping: Grouping, examined: Sequence[Surveyed], pairing: Pairing, progress: bool
) -> tuple[Grouping, list[Finding]]:
    """The groups, those joined whose pictures share a part."""
    try:
        examples = find_examples(data, folder, pairing=pairing)
        alone = find_examples(data.model_copy(update={"same_group": ()}), folder, pairing=pairing)
    except ValueError:  # as `divide` tells
        return grouping, []
    images = {s.pair.image: s.image for s in examined if isinstance(s.image, ImageFacts)}
    given = SPLITS if data.split_column is not None else tuple(data.split_folders or data.split_lists or ())
    pairs, findings = same_content(examples, images, given, folder, progress=progress)
    own = {example.image: example.group for example in alone}
    name_of = {example.group: own[example.image] for example in examples}  # of several that are one, any
    same = joined([*grouping.same_group, *((name_of[a], name_of[b]) for a, b in pairs)])
    why = grouping.why + "; those whose pictures share a part are one" if pairs else grouping.why
    return replace(grouping, same_group=same, why=why), findings


def parsed(text: str) -> Recipe:
    """A proposed recipe as training reads it."""
    return Recipe.model_validate_json(json.dumps(tomllib.loads(text)))
