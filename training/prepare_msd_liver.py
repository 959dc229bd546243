"""Turn Medical Segmentation Decathlon Task03_Liver into slices: `python training/prepare_msd_liver.py SOURCE OUT`.

SOURCE is `Task03_Liver.tar`, read as it is, or the folder unpacked from it. OUT gets what `recipes/liver.toml` reads:

    images/liver_028_s0123.png  8-bit grey, the window (-160 to 240 HU unless told otherwise) spread over 0 to 255
    masks/liver_028_s0123.png   0 background, 255 liver; tumours count as liver
    manifest.csv                a row per slice: patient, split, window, pixels of liver
    prepared.json               the settings, so that a second run goes on with the same ones or says what differs

Slices are axial and lie as in LPS, by the affine of each file: the patient's left at the image's right, posterior
down. They are numbered from the feet. Of the slices with liver every third is taken, and half as many without.

The split is by patient. The 20 patients of 3D-IRCADb, a hospital of its own, are among volumes 28 to 48 (28-47, or
28-44 and 46-48: accounts differ) and are the test split unless --test names others. A seeded share of the others is the
validation split. Volumes 6 to 10 may show one person at several dates and are never on two sides of it.

Needs nibabel: pip install nibabel. Holds one volume in memory. Stopped at any moment, the same command goes on.
Data: Antonelli et al. 2022 (arXiv 2106.05735), CC BY-SA 4.0; its scans are those of LiTS (arXiv 1901.04056).
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import gzip
import importlib
import io
import json
import logging
import math
import random
import re
import sys
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a clone works without being installed

from unetseg.files import whole  # noqa: E402
from unetseg.process import exit_code  # noqa: E402

MEMBER = re.compile(r"(?:^|/)(imagesTr|labelsTr)/liver_(\d+)\.nii(\.gz)?$")
ONE_PERSON = set(range(6, 11))
LARGEST = 4 << 30
"""Bytes of a volume; a header that asks for more is damaged or hostile."""
COLUMNS = (
    *("stem", "patient", "split", "slice", "height", "width"),
    *("window_low_hu", "window_high_hu", "liver_pixels"),
)


@dataclass(frozen=True)
class Settings:
    """window: in HU. every: of the slices with liver, each n-th is kept. negatives: slices without, per one with.

    test: numbers of the volumes to hold out. val: share of the others, drawn by seed.
    """

    window: tuple[float, float]
    every: int
    negatives: float
    test: tuple[int, ...]
    val: float
    seed: int

    def __post_init__(self) -> None:
        if not self.window[0] < self.window[1]:
            raise ValueError(f"--window goes from low to high, got {self.window[0]:g} {self.window[1]:g}")
        if self.every < 1 or not 0 <= self.negatives <= 100 or not 0 <= self.val < 1:
            raise ValueError(
                f"got --every {self.every}, --negatives {self.negatives:g}, --val {self.val:g}; "
                "expected at least 1, from 0 to 100, and from 0 to below 1"
            )

    def split(self, number: int) -> str:
        """train, val or test for a volume, whichever others there are."""
        person = ONE_PERSON if number in ONE_PERSON else {number}
        if person & set(self.test):
            return "test"
        return "val" if random.Random(f"{self.seed}/{min(person)}").random() < self.val else "train"


@dataclass(frozen=True)
class File:
    """A `.nii` or `.nii.gz`, in a folder or, where `archive` is given, in a tar."""

    name: str
    archive: tarfile.TarFile | None = None

    @contextlib.contextmanager
    def open(self) -> Iterator[io.BufferedIOBase]:
        """A file object of the bytes, unpacked while they are read."""
        with contextlib.ExitStack() as stack:
            if self.archive is None:
                raw: Any = stack.enter_context(Path(self.name).open("rb"))
            else:
                member = self.archive.extractfile(self.name)
                assert member is not None, "only plain files are asked for"
                raw = stack.enter_context(member)
            yield stack.enter_context(gzip.open(raw)) if self.name.endswith(".gz") else raw


@dataclass(frozen=True)
class Volume:
    """A volume as stored (H,W,D), turned so that a slice lies as in LPS, and what its numbers stand for."""

    stored: NDArray[Any]
    slope: float
    intercept: float

    def slice(self, index: int) -> NDArray[np.float32]:
        """One axial slice (H,W) in the unit that the header gives it."""
        return self.stored[..., index].astype(np.float32) * np.float32(self.slope) + np.float32(self.intercept)


Pairs = dict[int, dict[str, File]]
"""For each number of a volume, its file in `imagesTr` and in `labelsTr`."""


@contextlib.contextmanager
def open_source(source: Path) -> Iterator[Pairs]:
    """The pairs of image and label in a tar or a folder; ValueError says what is missing or unsafe."""
    with contextlib.ExitStack() as stack:
        pairs: Pairs = {}
        for folder, number, file in _files(source, stack):
            if folder in pairs.setdefault(number, {}):
                raise ValueError(f"{source} holds two {folder}/liver_{number}, the second as {file.name}; remove one")
            pairs[number][folder] = file
        if not pairs:
            raise ValueError(f"{source} holds no imagesTr/liver_N.nii.gz; give Task03_Liver.tar or its folder")
        for number, files in pairs.items():
            if missing := {"imagesTr", "labelsTr"} - files.keys():
                raise ValueError(f"{source} holds no {missing.pop()}/liver_{number}.nii.gz; get the data again")
        yield dict(sorted(pairs.items()))


def _files(source: Path, stack: contextlib.ExitStack) -> Iterator[tuple[str, int, File]]:
    if source.is_dir():
        for path in sorted(source.rglob("liver_*.nii*")):
            if match := MEMBER.search(path.as_posix()):
                yield match[1], int(match[2]), File(str(path))
        return
    try:
        # a compressed tar would be unpacked again for every step back in it
        archive = stack.enter_context(tarfile.TarFile(source))
        members = archive.getmembers()
    except (tarfile.TarError, OSError) as error:
        raise ValueError(
            f"{source} is no readable, uncompressed tar ({_line(error)}); get it again or unpack it"
        ) from None
    for member in members:
        if match := MEMBER.search(member.name):
            if not member.isfile() or member.name.startswith("/") or ".." in member.name.split("/"):
                raise ValueError(f"{source} holds {member.name!r}, a link or a path that leads out; get it again")
            yield match[1], int(match[2]), File(member.name, archive)


def volume_of(stream: io.BufferedIOBase, name: str) -> Volume:
    """Read the bytes of a NIfTI-1 volume; ValueError for what is none, has no orientation, or is damaged."""
    try:
        nib: Any = importlib.import_module("nibabel")  # partly typed
    except ModuleNotFoundError:
        raise ValueError("reading NIfTI needs nibabel: pip install nibabel") from None
    unreadable = (nib.filebasedimages.ImageFileError, nib.spatialimages.HeaderDataError, zlib.error, EOFError, OSError)
    try:
        image = nib.Nifti1Image.from_stream(stream)
    except (*unreadable, ValueError) as error:
        raise ValueError(f"{name} is no readable NIfTI-1 file ({_line(error)}); get it again") from None
    kind = image.get_data_dtype()
    if len(image.shape) != 3 or kind.kind not in "iuf":
        raise ValueError(f"{name} is {image.shape} of {kind}, expected three dimensions of plain numbers")
    if (size := math.prod(image.shape) * kind.itemsize) > LARGEST:
        raise ValueError(f"{name} claims {size / 1e9:.0f} GB, expected at most {LARGEST / 1e9:.0f}; get it again")
    if not (image.header["sform_code"] or image.header["qform_code"]):
        raise ValueError(f"{name} has no sform and no qform, so nobody knows its left side; leave it out")
    axes = nib.orientations.io_orientation(image.affine)
    if np.isnan(axes).any():
        raise ValueError(f"{name} has an affine without three directions; correct it or leave it out")
    turn = nib.orientations.ornt_transform(axes, nib.orientations.axcodes2ornt(("P", "L", "S")))
    try:
        turned = nib.orientations.apply_orientation(image.dataobj.get_unscaled(), turn)
    except unreadable as error:
        raise ValueError(f"{name} is damaged or cut off ({_line(error)}); get it again") from None
    return Volume(turned, float(image.dataobj.slope), float(image.dataobj.inter))


def windowed(hounsfield: NDArray[np.float32], window: tuple[float, float]) -> NDArray[np.uint8]:
    """Hounsfield units to grey: the window's low end and all below it to 0, its high end and all above to 255."""
    low, high = window
    return np.rint((hounsfield - low).clip(0, high - low) * (255 / (high - low))).astype(np.uint8)


def chosen_slices(liver_pixels: Sequence[int], every: int, negatives: float) -> list[int]:
    """The indices of the slices to keep: each n-th with liver, and evenly spaced ones without."""
    with_liver = [i for i, count in enumerate(liver_pixels) if count][::every]
    without = [i for i, count in enumerate(liver_pixels) if not count]
    wanted = min(round(len(with_liver) * negatives), len(without))
    spaced = [without[(2 * k + 1) * len(without) // (2 * wanted)] for k in range(wanted)]
    return sorted(with_liver + spaced)


def prepare_volume(number: int, files: dict[str, File], out: Path, settings: Settings) -> list[dict[str, object]]:
    """Write the chosen slices of one patient and return their rows of the manifest."""
    with files["imagesTr"].open() as stream:
        image = volume_of(stream, files["imagesTr"].name)
    with files["labelsTr"].open() as stream:
        label = volume_of(stream, files["labelsTr"].name)
    if image.stored.shape != label.stored.shape:
        raise ValueError(
            f"{files['imagesTr'].name} is {image.stored.shape} once turned, its label {label.stored.shape}; "
            "they must be equal, get them again"
        )
    counts: list[int] = []
    for index in range(label.stored.shape[2]):
        labels = label.slice(index)
        if not (known := (labels == 0) | (labels == 1) | (labels == 2)).all():
            raise ValueError(
                f"{files['labelsTr'].name} holds {labels[~known][0]:g} in slice {index}, "
                "expected 0, 1 (liver) and 2 (tumour); get it again"
            )
        counts.append(int(np.count_nonzero(labels)))
    low, high = settings.window
    rows: list[dict[str, object]] = []
    for index in chosen_slices(counts, settings.every, settings.negatives):
        hounsfield, liver = image.slice(index), label.slice(index) > 0
        if not np.isfinite(hounsfield).all():
            raise ValueError(f"{files['imagesTr'].name} holds nan or infinity in slice {index}; leave it out")
        stem = f"liver_{number:03d}_s{index:04d}"
        _write_png(out / "images" / f"{stem}.png", windowed(hounsfield, settings.window))
        _write_png(out / "masks" / f"{stem}.png", np.where(liver, 255, 0).astype(np.uint8))
        row = (
            stem,
            f"liver_{number}",
            settings.split(number),
            index,
            *liver.shape,
            f"{low:g}",
            f"{high:g}",
            counts[index],
        )
        rows.append(dict(zip(COLUMNS, row, strict=True)))
    return rows


def prepare(source: Path, out: Path, settings: Settings) -> int:
    """Write all slices of a source but those of patients in the manifest already; how many slices there are.

    Raises ValueError for a source that doesn't fit, and for an `out` made with other settings.
    """
    with open_source(source) as pairs:
        rows = _begin(out, settings)
        done = {row["patient"] for row in rows}
        for number, files in pairs.items():
            if f"liver_{number}" in done:
                continue
            new = prepare_volume(number, files, out, settings)
            rows += new
            _write_manifest(out / "manifest.csv", rows)
            found = sum(row["liver_pixels"] != 0 for row in new)
            split = settings.split(number)
            logging.info("liver_%d (%s): %d slices with liver, %d without", number, split, found, len(new) - found)
    if not rows:
        raise ValueError(f"no volume of {source} shows any liver; check its labels")
    return len(rows)


def _begin(out: Path, settings: Settings) -> list[dict[str, object]]:
    """Make the folders, or check that they were made with the same settings; the rows that are there."""
    told = {key: list(v) if isinstance(v, tuple) else v for key, v in vars(settings).items()}
    path = out / "prepared.json"
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        if changed := [key for key in told if told[key] != before.get(key)]:
            raise ValueError(f"{out} was made with another {', '.join(changed)}; use the same, or name another folder")
    elif out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} holds other things; name a folder that is empty or not there yet")
    for name in ("images", "masks"):
        (out / name).mkdir(parents=True, exist_ok=True)
    with whole(path) as temporary:
        temporary.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    if not (out / "manifest.csv").exists():
        return []
    with (out / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return [dict(row) for row in csv.DictReader(file)]


def _write_manifest(path: Path, rows: Sequence[dict[str, object]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with whole(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def _write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    with whole(path) as temporary:
        PIL.Image.fromarray(pixels).save(temporary, format="PNG")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _numbers(text: str) -> tuple[int, ...]:
    found: set[int] = set()
    for part in text.split(","):
        first, last = map(int, (part.split("-") * 2)[:2])
        if first > last:
            raise ValueError(f"{part} goes from high to low")
        found |= set(range(first, last + 1))
    return tuple(sorted(found))


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 when all slices are there, 1 with one sentence on what is wrong, 130 when stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, metavar="SOURCE", help="Task03_Liver.tar, or the folder unpacked from it")
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder to write")
    parser.add_argument("--window", type=float, nargs=2, default=(-160, 240), metavar=("LOW", "HIGH"), help="in HU")
    parser.add_argument("--every", type=int, default=3, metavar="N", help="keep each N-th slice with liver (3)")
    parser.add_argument(
        "--negatives", type=float, default=0.5, metavar="SHARE", help="slices without, per one with (0.5)"
    )
    parser.add_argument("--test", type=_numbers, default="28-48", metavar="NUMBERS", help="as 3,28-47 (28-48)")
    parser.add_argument("--val", type=float, default=0.1, metavar="SHARE", help="of the other patients (0.1)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw for --val (0)")
    options = parser.parse_args(arguments)

    def work() -> None:
        low, high = options.window
        settings = Settings((low, high), options.every, options.negatives, options.test, options.val, options.seed)
        slices = prepare(options.source, options.out, settings)
        logging.info("%s holds %d slices; training/recipes/liver.toml trains on them", options.out, slices)

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())
