"""Which pictures are for training, validation and test: by groups, which stay whole."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence

from ..recipe import SPLITS, Data, Split

MOST_JOINED = 4
"""Of groups that are the same so many are named."""

Key = tuple[Split | None, str]
"""The folder of a split that a picture lies in, if any, and its name."""


def group_of(stem: str, data: Data, rows: dict[str, dict[str, str]] | None) -> str:
    """The group of a picture; ValueError where its manifest or its pattern gives none."""
    if rows is not None and data.group_column is not None:
        if not rows[stem][data.group_column]:
            raise ValueError(f"{data.manifest} gives {stem!r} no {data.group_column}; every picture needs one")
        return rows[stem][data.group_column]
    if data.group_pattern is None:
        return stem
    match = re.search(data.group_pattern, stem)
    if match is None or match.group(1) is None:
        raise ValueError(f"group_pattern {data.group_pattern!r} finds no group in the name {stem!r}")
    return match.group(1)


def joined_groups(groups: dict[Key, str], same: Sequence[Sequence[str]]) -> dict[Key, str]:
    """The groups by their own names, those that are the same under one: `a+b`."""
    name_of = {name: _joint(names) for names in same for name in names}
    if unknown := sorted(name_of.keys() - set(groups.values())):
        raise ValueError(f"same_group names {unknown[0]!r}, and no picture is of such a group")
    return {key: name_of.get(group, group) for key, group in groups.items()}


def _joint(names: Sequence[str]) -> str:
    """The name of groups that are the same; the first is in no other."""
    more = len(names) - MOST_JOINED
    return "+".join(names) if more <= 0 else "+".join([*names[:MOST_JOINED], f"{more} more"])


def splits_of(
    groups: dict[Key, str],
    data: Data,
    rows: dict[str, dict[str, str]] | None,
    listed: Mapping[str, Split] | None,
    seed: int,
) -> dict[Key, Split]:
    """The split of each picture, by its group.

    rows: of the manifest, by stem. listed: what published lists say. Raises ValueError where a group is in two splits.
    """
    if rows is not None and data.split_column is not None:
        splits = {key: _checked_split(rows[key[1]], key[1], data) for key in groups}
    else:
        # a split that has a folder or a list of its own takes nothing from that of train
        given = data.split_folders or data.split_lists or {}
        own = {key: key[0] if listed is None else listed[key[1]] for key in groups}
        shares: dict[Split, tuple[str, ...] | float]
        shares = {"test": 0.0 if "test" in given else data.test, "val": 0.0 if "val" in given else data.val}
        to_divide = sorted({group for key, group in groups.items() if own[key] in (None, "train")})
        by_group = _split_groups(to_divide, shares, seed)
        splits = {
            key: split if (split := own[key]) not in (None, "train") else by_group[group]
            for key, group in groups.items()
        }
    if data.group_column is not None or data.group_pattern is not None:
        _refuse_leaks(groups, splits)
    else:  # a picture alone may share its name with one of another split
        joined = set(map(_joint, data.same_group))
        _refuse_leaks({key: group for key, group in groups.items() if group in joined}, splits)
    return splits


def _checked_split(row: dict[str, str], stem: str, data: Data) -> Split:
    for split in SPLITS:
        if row[str(data.split_column)] == split:
            return split
    raise ValueError(
        f"{data.manifest} puts {stem!r} into {row[str(data.split_column)]!r}, expected {', '.join(SPLITS)}"
    )


def _refuse_leaks(groups: dict[Key, str], splits: dict[Key, Split]) -> None:
    seen: dict[str, Split] = {}
    for key, group in groups.items():
        if seen.setdefault(group, splits[key]) != splits[key]:
            raise ValueError(
                f"group {group!r} is in {seen[group]} and in {splits[key]}; a group must stay in one split, "
                "or the scores say nothing about new ones"
            )


def _split_groups(groups: list[str], shares: Mapping[Split, tuple[str, ...] | float], seed: int) -> dict[str, Split]:
    order = list(groups)
    random.Random(seed).shuffle(order)
    splits: dict[str, Split] = dict.fromkeys(groups, "train")
    # names first: a share must not take them
    for split, wanted in sorted(shares.items(), key=lambda item: isinstance(item[1], float)):
        free = [group for group in order if splits[group] == "train"]
        if isinstance(wanted, float):
            # at least one of several, and never all
            wanted = tuple(free[: min(max(1, round(wanted * len(groups))), len(free) - 1)] if wanted else ())
        for group in wanted:
            if group not in free:
                raise ValueError(
                    f"{split} names the group {group!r}, which is not there or is taken; "
                    f"there are {', '.join(sorted(free))}"
                )
            splits[group] = split
    return splits
