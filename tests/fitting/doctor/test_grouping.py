"""`unetseg.fitting.doctor.grouping`: groups by names, and what looks like groups and is none."""

from __future__ import annotations

import random
import re
import uuid
from pathlib import Path

import pytest

from unetseg.fitting.doctor.grouping import propose_groups

RANDOM = random.Random(3)
HEX = [f"{RANDOM.getrandbits(128):032x}" for _ in range(300)]
UUIDS = [str(uuid.UUID(int=RANDOM.getrandbits(128))) for _ in range(300)]
BREEDS = ("Abyssinian", "Bengal", "Egyptian_Mau", "Sphynx", "american_bulldog", "pug", "saint_bernard", "beagle")


def groups_of(folder: Path, names: list[str]) -> dict[str, str]:
    """The group of each name, by the pattern that is proposed."""
    grouping, findings = propose_groups(folder, [(None, name) for name in names])
    assert all(finding.weight == "note" for finding in findings)
    if grouping.group_pattern is None:
        return {name: name for name in names}
    matches = {name: re.search(grouping.group_pattern, name) for name in names}
    return {name: match[1] for name, match in matches.items() if match}


@pytest.mark.parametrize(
    "names",
    [
        [f"{kind} ({i})" for kind in ("benign", "malignant", "normal") for i in range(1, 20)],
        [f"{kind}_{i}" for kind in ("benign", "malignant", "normal") for i in range(1, 20)],
        [f"{kind}{i:04d}" for kind in ("pos", "neg") for i in range(1, 20)],
        [f"{breed}_{i}" for breed in BREEDS for i in range(1, 12)],
        [f"{kind}/{i:03d}" for kind in ("crack", "intact", "rust") for i in range(9)],
        [f"{kind}/{kind} ({i})" for kind in ("benign", "malignant", "normal") for i in range(9)],
        HEX,
        [code[:8] for code in HEX],
        [code.upper() for code in HEX],
        UUIDS,
        [f"202401{day:02d}_{10 + i % 9}{i:02d}15" for day in range(1, 9) for i in range(9)],
        [f"IMG_202401{day:02d}_1015{i:02d}" for day in range(1, 9) for i in range(9)],
        [f"2024-01-{day:02d}_{10 + i}-15-{i:02d}" for day in range(1, 9) for i in range(9)],
        [f"2024-01-{day:02d}T{10 + i}.15.{i:02d}" for day in range(1, 9) for i in range(9)],
        [f"frame_17036{i:05d}.{i % 3}" for i in range(40)],
    ],
    ids=lambda names: names[0],
)
def test_kinds_codes_and_times_are_no_groups(tmp_path: Path, names: list[str]) -> None:
    assert groups_of(tmp_path, names) == {name: name for name in names}


@pytest.mark.parametrize(
    ("names", "group"),
    [
        ([f"patient{i}_{j:03d}" for i in range(6) for j in range(8)], r"patient\d+"),
        ([f"tile{i}_part{j:03d}" for i in range(6) for j in range(8)], r"tile\d+"),
        ([f"video{i}_frame{j:05d}" for i in range(6) for j in range(8)], r"video\d+"),
        ([f"malignant_p{i}_{j}" for i in range(6) for j in range(8)], r"malignant_p\d+"),
        ([f"patient {i}/slice_{j}" for i in range(6) for j in range(8)], r"patient \d+"),
        ([f"{code}_{j}" for code in HEX[:30] for j in range(4)], r"[0-9a-f]{32}"),
        ([f"{code}_slice{j:02d}" for code in UUIDS[:30] for j in range(4)], r"[0-9a-f-]{36}"),
        ([f"20240131_patient{i}_{j}" for i in range(6) for j in range(8)], r"20240131_patient\d+"),
        ([f"{city}{n}" for city in ("rome", "oslo", "kyiv") for n in range(3)], r"[a-z]+"),
    ],
    ids=lambda names: names[0] if isinstance(names, list) else "",
)
def test_real_groups_stay(tmp_path: Path, names: list[str], group: str) -> None:
    found = groups_of(tmp_path, names)
    assert set(found) == set(names)
    assert all(re.fullmatch(group, part) for part in found.values()), found


def test_kinds_are_named_in_the_note(tmp_path: Path) -> None:
    names: list[tuple[None, str]] = [(None, f"{kind}_{i}") for kind in ("benign", "malignant") for i in range(9)]
    grouping, (note,) = propose_groups(tmp_path, names)
    assert grouping.why == "every picture is its own group"
    assert "kinds of pictures: benign, malignant" in note.what
