"""Which pictures belong together: from a manifest, or from names like `patient12_003`."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..data.layouts import SPLIT_WORDS
from ..data.manifest import STEM, read_manifest
from ..recipe import SPLITS, Split
from ..words import counted, some
from .findings import Finding

GROUP_WORDS = (
    "group", "patient", "subject", "case", "person", "animal", "volume", "scan", "series", "scene", "tile", "site",
    "plate", "video", "sequence", "city", "location",
)  # fmt: skip
SPLIT_COLUMNS = ("split", "set", "subset", "fold", "partition")
CODE = r"(?:(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{8,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?![^\W_])"
"""A digest or a UUID, whose digits mean nothing."""
# from coarse to fine: a group too large costs pictures, one too small makes the scores flatter
PATTERNS = (
    (r"^(.+)/", "the folder they lie in"),
    (r"^(.+)\.rf\.", "copies of one picture that an export made"),
    (rf"^({CODE})[_\-. ]+[^\W\d_]*\d+$", "the code before its number"),
    (r"^(\D*\d+)\D+\d", "the name up to its first number"),
    (r"^(.*\d)\D+\d+\D*$", "the name before its last number"),
    (r"^(\D*[^\W\d_])[_\-. ]*\d+$", "the name before its number"),
)
STAMP = r"(\D*|.*\D)((19|20)\d\d([-_.]?)(0\d|1[0-2])\4([0-2]\d|3[01])([-_.:T ]*\d+)*|1\d{9}(\d{3})?)"
"""The end of what would be a group: a date, with a time or part of it; seconds or milliseconds since 1970."""
A_KIND = 5
"""So many numbered pictures and more of each word in front of the number are of a kind: malignant, a breed."""
ALONE = rf"({'|'.join(GROUP_WORDS)})[\W_]*\d+[\W_]*[^\W\d_]+[\W_]*\d"
"""A name that shows a group without a second one: `video1_frame003`, and not `case_2024_003`."""


@dataclass(frozen=True)
class Grouping:
    """What the recipe says of groups and splits; the fields are those of `[data]`.

    why: where the groups come from. listed: the names in the manifest, None without one.
    """

    manifest: str | None = None
    group_column: str | None = None
    split_column: str | None = None
    group_pattern: str | None = None
    why: str = "every picture is its own group"
    listed: frozenset[str] | None = None
    same_group: tuple[tuple[str, ...], ...] = ()
    split_lists: Mapping[Split, str] | None = None


def propose_groups(folder: Path, names: Sequence[tuple[Split | None, str]]) -> tuple[Grouping, list[Finding]]:
    """Groups and splits of the pictures with these names, each in the folder of a split or of none."""
    found: list[Finding] = []
    unique = {name for _, name in names}
    for path in sorted(folder.glob("*.csv")):
        columns = _columns(path)
        if STEM in columns and unique & set(columns[STEM]):
            return _from_manifest(path, columns, names, found), found
        for column, values in columns.items():
            if len(unique & {Path(value).stem for value in values}) >= 0.5 * len(unique):
                what = f"{path.name} seems to list the pictures in its column {column!r}"
                advice = f"call that column {STEM!r} and leave file endings out, and it can be the manifest"
                found.append(Finding("note", what, advice))
                break
    pattern, why = _pattern(names, any(split == "val" for split, _ in names), found)
    return Grouping(group_pattern=pattern, why=why), found


def joined(same: Iterable[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Groups that are the same, directly or by others between them, from sets of such; as `same_group` has them."""
    first_of: dict[str, str] = {}  # each group leads to one that it is joined to

    def root(group: str) -> str:
        while first_of.setdefault(group, group) != group:
            first_of[group] = first_of[first_of[group]]
            group = first_of[group]
        return group

    for groups in same:
        for other in groups[1:]:
            low, high = sorted((root(groups[0]), root(other)))
            first_of[high] = low
    sets: dict[str, list[str]] = {}
    for group in sorted(first_of):
        sets.setdefault(root(group), []).append(group)
    return tuple(tuple(groups) for groups in sets.values() if len(groups) > 1)


def _columns(path: Path) -> dict[str, list[str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error):  # some other file; only a manifest must be readable
        return {}
    keys = [key for key in (rows[0] if rows else {}) if key]
    return {key: [row[key] or "" for row in rows] for key in keys}


def _from_manifest(
    path: Path, columns: dict[str, list[str]], names: Sequence[tuple[Split | None, str]], found: list[Finding]
) -> Grouping:
    unique = {name for _, name in names}
    try:
        rows = read_manifest(path)
    except ValueError as error:
        found.append(Finding("question", str(error), "then ask again"))
        return Grouping()
    if unlisted := sorted(unique - rows.keys()):
        what = f"{path.name} leaves out {counted(len(unlisted), 'picture')}: {some(unlisted)}"
        found.append(Finding("note", what, "they are not used; add rows for them if they should be", tuple(unlisted)))
    group = _group_column(columns)
    split = _split_column(path, columns, any(split for split, _ in names), found)
    divided = split is not None or any(split == "val" for split, _ in names)
    pattern, why = (None, "") if group else _pattern([(None, name) for name in rows], divided, found)
    why = f"column {group} of {path.name}" if group else why
    return Grouping(path.name, group, split, pattern, why, frozenset(rows))


def _group_column(columns: dict[str, list[str]]) -> str | None:
    for word in GROUP_WORDS:
        for column, values in columns.items():
            if word in re.split(r"[_\W]+", column.lower()) and all(values) and 1 < len(set(values)) < len(values):
                return column
    return None


def _split_column(path: Path, columns: dict[str, list[str]], has_folders: bool, found: list[Finding]) -> str | None:
    for column, values in columns.items():
        words = {value.lower() for value in values}
        if column.lower() not in SPLIT_COLUMNS or not words <= SPLIT_WORDS.keys():
            continue
        if has_folders:
            found.append(
                Finding("note", f"{path.name} has a column {column!r} beside folders of splits", "the folders count")
            )
            return None
        if not set(values) <= set(SPLITS):
            what = f"column {column!r} of {path.name} holds {', '.join(sorted(set(values)))}"
            found.append(Finding("question", what, "write train, val and test"))
        elif not {"train", "val"} <= set(values):
            what = f"column {column!r} of {path.name} puts pictures into {', '.join(sorted(set(values)))} only"
            advice = "put some groups into train and others into val, or remove the column"
            found.append(Finding("question", what, advice))
        return column
    return None


@dataclass(frozen=True)
class _Named:
    """Groups that a pattern reads from names: of each name it fits, and how many pictures each group has."""

    pattern: str
    what: str
    groups: dict[str, str]
    sizes: Counter[str]

    @property
    def many(self) -> bool:
        """Enough groups, of sizes alike enough, to divide them."""
        return len(self.sizes) >= 3 and max(self.sizes.values()) <= 0.6 * len(self.groups)

    @property
    def misleads(self) -> bool:
        """Whether what the pattern finds are parts of digests or of times."""
        if self.pattern in (PATTERNS[0][0], PATTERNS[1][0], PATTERNS[2][0]):
            return False
        coded = sum(re.match(CODE, name, re.IGNORECASE) is not None for name in self.groups)
        stamps = sum(re.fullmatch(STAMP, group) is not None for group in self.sizes)
        return 2 * coded > len(self.groups) or 2 * stamps > len(self.sizes)

    @property
    def kinds(self) -> bool:
        """Whether these are kinds of pictures rather than groups: words without a number, with many pictures each."""
        words = self.pattern in (PATTERNS[0][0], PATTERNS[-1][0]) and not any(re.search(r"\d", g) for g in self.sizes)
        return words and len(self.groups) >= A_KIND * len(self.sizes)

    @property
    def plain(self) -> bool:
        """Whether these are groups, many or not: neither prefixes of running numbers nor parts of hashes."""
        forms = {re.sub(r"\.rf\..*|\d+", "#", name) for name in self.groups}
        if len(forms) > len(self.groups) / 1.5:
            return False
        if self.pattern == PATTERNS[-1][0]:
            return self.many
        return len(self.sizes) > 1 or re.search(ALONE, min(self.groups), re.IGNORECASE) is not None


def _pattern(names: Sequence[tuple[Split | None, str]], divided: bool, found: list[Finding]) -> tuple[str | None, str]:
    """The pattern that groups go by, and why; divided: whether something else says what is validated on."""
    alone = "every picture is its own group"
    unique = sorted({name for _, name in names})
    candidates = []
    for pattern, what in PATTERNS:
        groups = {name: match[1] for name in unique if (match := re.search(pattern, name))}
        sizes = Counter(groups.values())
        if 2 * len(groups) >= len(unique) and len(sizes) <= len(groups) / 1.5:
            candidates.append(_Named(pattern, what, groups, sizes))
    candidates = [named for named in candidates if not named.misleads]
    kinds = next((named for named in candidates if named.kinds), None)
    candidates = [named for named in candidates if not named.kinds]
    fitting = (named for named in candidates if named.many and len(named.groups) == len(unique))
    named = next(fitting, None) or next((named for named in candidates if named.plain), None)
    if named is None:
        if len(unique) > 1:
            what = "the names show no groups"
            if kinds and len(kinds.sizes) > 1:
                what += f", but kinds of pictures: {some(sorted(kinds.sizes))}"
            advice = (
                "every picture counts alone; where pictures belong together (slices of a "
                "patient, parts of a tile, frames of a film) say so with group_pattern or a manifest, or the scores "
                "flatter"
            )
            found.append(Finding("note", what, advice))
        return None, alone
    if others := [name for name in unique if name not in named.groups]:
        shown = some(sorted(named.sizes))
        what = f"the names show groups ({shown}) but for {counted(len(others), 'picture')}: {some(others)}"
        advice = (
            "name these likewise, or give a group_pattern that fits all names, or a manifest with a group_column; the "
            "proposed recipe counts every picture alone, and then the scores flatter"
        )
        found.append(Finding("question", what, advice))
        return None, alone
    sides: dict[str, set[Split | None]] = {}
    for split, name in names:
        sides.setdefault(named.groups[name], set()).add(split)
    if torn := sorted(group for group, splits in sides.items() if len(splits) > 1):
        what = f"by their names, {counted(len(torn), 'group')} of pictures in the folders of two splits: {some(torn)}"
        advice = (
            "if pictures with such a name belong together (a patient, a tile), move each group "
            "into one folder, or the scores flatter; if not, the proposed recipe can be used"
        )
        found.append(Finding("question", what, advice, tuple(torn)))
        return None, alone
    if not named.many and not divided and len(named.sizes) > 1:  # that one can't be divided is asked anyway
        held = some([f"{group} ({counted(number, 'picture')})" for group, number in named.sizes.most_common()])
        what = f"by their names, the pictures are of few or unequal groups: {held}"
        advice = (
            "if such pictures belong together (a patient, a tile), the proposed recipe keeps them so; say with its val "
            "which groups to validate on; if each counts alone, take group_pattern out"
        )
        found.append(Finding("question", what, advice))
    example = unique[0]
    return named.pattern, f"{named.what}, {named.groups[example]} of {example}"
