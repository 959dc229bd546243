"""What a checkpoint is, in words: the command `info`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Mapping

from ..files import README
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
    papers = checkpoint.companions(source.folder)
    if README in papers:
        with contextlib.suppress(ValueError):  # a README of one's own need not begin with fields
            fields = model_card.front_matter(papers[README].decode(errors="replace"))
            lines.append(f"license: {fields.get('license', 'not named')}")
    for name, told in (("split.json", _of_splits), ("scores.json", _of_scores)):
        if name in papers:
            try:
                lines += told(json.loads(papers[name]))
            except (AttributeError, TypeError, ValueError):
                raise ValueError(f"{source.folder / name} is not such as a run writes it; get it again") from None
    return "\n".join(lines)


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
