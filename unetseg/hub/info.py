"""What a checkpoint is, in words: the command `info`."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping

from ..config import SegmentationConfig
from ..files import README, read_json
from ..proof import Proof
from . import checkpoint, model_card
from .download import Source


def description(source: Source) -> str:
    """What a checkpoint is, where it is from and how good it is, in some lines of text."""
    config, _ = checkpoint.load(source.folder)
    where = f"{source} in {source.folder}" if source.commit else str(source.folder)
    limits = ", ".join(f"{name} {limit:g}" for name, limit in zip(config.outputs, config.thresholds, strict=True))
    lines = [
        where,
        f"task: {config.task}",
        f"labels: {', '.join(f'{i} {name}' for i, name in enumerate(config.labels))}",
        f"input: {', '.join(config.channels)}, at {config.resolutions}",
        f"network: widths {', '.join(map(str, config.widths))}, {config.parameters:,} parameters",
        f"temperatures: {', '.join(f'{value:g}' for value in config.temperatures)}; thresholds: {limits}",
    ]
    lines.append(f"gate: {_of_gate(source, config)}")
    lines.append(f"test picture: {_of_proof(source, config)}")
    papers = checkpoint.companions(source.folder)
    if README in papers:
        with contextlib.suppress(ValueError):  # a README of one's own need not begin with fields
            fields = model_card.front_matter(papers[README].decode(errors="replace"))
            lines.append(f"license: {fields.get('license', 'not named')}")
    for name, told in (("split.json", _of_splits), ("scores.json", _of_scores)):
        if name in papers:
            try:
                lines += told(read_json(source.folder / name))
            except (AttributeError, OverflowError, TypeError, ValueError):
                raise ValueError(f"{source.folder / name} is not such as a run writes it; get it again") from None
    return "\n".join(lines)


def _of_gate(source: Source, config: SegmentationConfig) -> str:
    from ..gate import Gate

    try:
        gate = Gate.load(source.folder, config)
    except ValueError as error:
        return f"{error}, and is not used"
    if gate is None:
        return "none, so it never says that a picture is foreign to it"
    limit = "no limit" if gate.limit is None else f"foreign beyond a distance of {gate.limit:.2f}"
    return f"{len(gate.known)} windows of training pictures, {limit}{', and knows turns' * (gate.views is not None)}"


def _of_proof(source: Source, config: SegmentationConfig) -> str:
    try:
        proof = Proof.load(source.folder, config)
    except ValueError as error:
        return str(error)
    if proof is None:
        return "none, so it can't be verified"
    return f"{' x '.join(map(str, proof.labels.shape))} pixels, for `verify`"


def _of_splits(splits: Mapping[str, Mapping[str, Collection[str]]]) -> list[str]:
    told = (
        f"{sum(map(len, some.values()))} pictures of {len(some)} groups ({split})" for split, some in splits.items()
    )
    return [f"pictures: {', '.join(told)}"]


def _of_scores(splits: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    names = ("mean_group_dice", "miou", "accuracy")
    return [
        f"scores ({split}): "
        + ", ".join(f"{name.replace('_', ' ')} {scores[name]:.3f}" for name in names if scores.get(name) is not None)
        for split, scores in splits.items()
    ]
