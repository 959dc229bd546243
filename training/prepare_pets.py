"""Turn the Oxford-IIIT Pet data set into a folder to train on: `python training/prepare_pets.py SOURCE OUT`.

SOURCE holds the published files (Parkhi et al. 2012, CC BY-SA 4.0): `images/NAME.jpg`, `annotations/trimaps/NAME.png`
(1 animal, 2 background, 3 border) and the lists `annotations/trainval.txt` and `test.txt`, whose lines are NAME, class,
species (1 cat, 2 dog) and breed; all of it may lie without `annotations/` too. OUT gets what `recipes/pets.toml` reads:

    images/NAME.jpg  the picture, byte for byte
    masks/NAME.png   ids: 0 background, 1 cat, 2 dog, 255 the border, which nothing is learnt from
    manifest.csv     stem, group, split

Pictures of a breed and a list whose numbers differ in the last digit alone are one group, for some that follow each
other show the same animal. Every fifth group of a breed in `trainval.txt` is for validation. What other lists name,
`extra.txt` say, gets a folder of its own, OUT/extra. Stopped, the same command goes on: pairs that are there are left
alone.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a clone works without being installed

from unetseg.files import whole  # noqa: E402
from unetseg.process import exit_code  # noqa: E402

SPECIES = {"1": ("cat", 1), "2": ("dog", 2)}
ANIMAL, BACKGROUND, BORDER = 1, 2, 3
IGNORE = 255
LISTS = ("trainval", "test")
EVERYTHING = "list"
"""The published list of both of these."""
EVERY = 5


def read_list(path: Path) -> dict[str, int]:
    """The id of the species by name of the picture; ValueError for a line that is not as published."""
    found: dict[str, int] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("#") or not line.strip():
            continue
        name, *numbers = line.split()
        if len(numbers) != 3 or numbers[1] not in SPECIES or Path(name).name != name:
            raise ValueError(f"line {number} of {path.name} is {line[:80]!r}, expected NAME CLASS SPECIES BREED")
        found[name] = SPECIES[numbers[1]][1]
    return found


def mask_of(trimap: Path, size: tuple[int, int], species: int) -> NDArray[np.uint8]:
    """A trimap as ids (H,W); ValueError where it is damaged, of another size, or holds anything but 1, 2 and 3."""
    try:
        with PIL.Image.open(trimap, formats=["PNG"]) as picture:
            values = np.asarray(picture)
    except (OSError, SyntaxError) as error:  # what Pillow raises for PNG that is cut off or damaged
        raise ValueError(f"{trimap.name} is damaged ({error}); get the data again") from None
    if values.shape != size[::-1] or not np.isin(values, (ANIMAL, BACKGROUND, BORDER)).all():
        raise ValueError(
            f"{trimap.name} is {values.shape[::-1]} pixels of {np.unique(values)[:8].tolist()}, its picture {size}; "
            f"expected that size, and {ANIMAL} animal, {BACKGROUND} background, {BORDER} border"
        )
    ids = np.zeros(values.shape, dtype=np.uint8)
    ids[values == ANIMAL], ids[values == BORDER] = species, IGNORE
    return ids


def group_of(name: str, split: str = "train") -> str:
    """`Abyssinian_10x` of Abyssinian_100 to Abyssinian_109; those for testing have groups of their own."""
    breed, _, number = name.rpartition("_")
    return ("test_" if split == "test" else "") + f"{breed}_{number[:-1]}x"


def prepare(source: Path, out: Path) -> dict[str, int]:
    """Write all pairs that are not there yet, and the manifests; how many pictures each split has."""
    place = source / "annotations" if (source / "annotations" / "trimaps").is_dir() else source
    if not (place / "trimaps").is_dir():
        raise ValueError(f"{source} holds no annotations/trimaps and no trimaps; give the folder of the published data")
    lists = {path.stem: path for path in sorted(place.glob("*.txt"))}
    if missing := set(LISTS) - lists.keys():
        raise ValueError(f"{place} has no {missing.pop()}.txt, which says what is trained on; get it too")
    named = {name: read_list(lists[name]) for name in LISTS}
    known = {"README", "classes", EVERYTHING, *LISTS}
    others = {name: read_list(path) for name, path in lists.items() if name.split("-")[0] not in known}
    groups = sorted({group_of(name) for name in named["trainval"]})
    by_breed: dict[str, list[str]] = {}
    for group in groups:
        by_breed.setdefault(group.rpartition("_")[0], []).append(group)
    held_out = {group for some in by_breed.values() for group in some[::EVERY]}
    rows = [
        (name, species, "test" if which == "test" else "val" if group_of(name) in held_out else "train")
        for which, names in named.items()
        for name, species in names.items()
    ]
    _write(source, place, out, rows)
    counts = {split: sum(row[2] == split for row in rows) for split in ("train", "val", "test")}
    for name, names in others.items():
        _write(source, place, out / name, [(stem, species, "test") for stem, species in names.items()])
        counts[name] = len(names)
    return counts


def _write(source: Path, place: Path, out: Path, rows: list[tuple[str, int, str]]) -> None:
    for folder in ("images", "masks"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for name, species, _ in rows:
        picture, image_path, mask_path = (
            source / "images" / f"{name}.jpg",
            out / "images" / f"{name}.jpg",
            out / "masks" / f"{name}.png",
        )
        if image_path.exists() and mask_path.exists():
            continue
        try:
            with PIL.Image.open(picture) as opened:
                size = opened.size
        except OSError as error:
            raise ValueError(f"{picture.name} can't be read ({error}); get the data again") from None
        with whole(mask_path) as temporary:
            PIL.Image.fromarray(mask_of(place / "trimaps" / f"{name}.png", size, species)).save(temporary, format="PNG")
        with whole(image_path) as temporary:
            temporary.write_bytes(picture.read_bytes())
    with whole(out / "manifest.csv") as temporary:
        lines = [f"{name},{group_of(name, split)},{split}" for name, _, split in rows]
        temporary.write_text("\n".join(["stem,group,split", *lines]) + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 when all pairs are there, 1 with one sentence on what is wrong, 130 when stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, metavar="SOURCE", help="the folder of the published data")
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder to write")
    options = parser.parse_args(arguments)

    def work() -> None:
        counts = prepare(options.source, options.out)
        told = ", ".join(f"{split} {count}" for split, count in counts.items())
        logging.info("%s holds %d pictures: %s", options.out, sum(counts.values()), told)

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())
