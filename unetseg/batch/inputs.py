"""Which inputs there are: the pictures, volumes and DICOM series of files and of folders however deep."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import posixpath
import stat
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..formats import Image, Reading, family_of, grouped, is_too_large, read_image, series_in, some, streamed
from .record import JOURNAL, Journal

AUTO = ["auto"]
MOST_NUMBERS = 50_000_000
"""Of all inputs together, from which their common range is found."""


@dataclass(frozen=True)
class Job:
    """One picture or volume, or one DICOM series of a place.

    path: a file; of a series a folder that holds all of it, or a zip.
    name: of its results, without an ending: a path relative to the folder that they are written to.
    series: its UID, or what the user calls it. files: of a folder, those of the series, by their names in it.
    input: its path relative to the INPUT that it belongs to. root: that INPUT; of a file the folder it lies in.
    optional: one of several series of an INPUT; where it doesn't fit the model, it is left out.
    """

    path: Path
    name: str
    series: str | None = None
    files: tuple[str, ...] | None = None
    input: str = ""
    root: Path = Path()
    optional: bool = False

    def image(self, reading: Reading) -> Image:
        """Read it, told what `reading` says; its own series."""
        if self.files == ():
            raise ValueError(
                f"{self.path.resolve().name} holds no picture, volume or DICOM series; name another folder"
            )
        told = reading.copy()
        told["series"], told["files"] = (self.series, None) if self.files is None else (None, self.files)
        return read_image(self.path, **told)

    @property
    def is_small(self) -> bool:
        """Whether it is a file of at most 1 MiB: several of these are done at a time."""
        with contextlib.suppress(OSError):
            seen = self.path.stat()
            return stat.S_ISREG(seen.st_mode) and seen.st_size <= 2**20
        return False

    def digest(self) -> str:
        """SHA-256 of its bytes; of several files, of their digests in the order of their names."""
        files = [self.path / name for name in self.files or ()]
        if self.files is None:
            folder = self.path.is_dir()
            files = (
                sorted(path for path in self.path.rglob("*") if path.is_file()) if folder else _with_beside(self.path)
            )
        digests = [_digest(path) for path in files]
        return digests[0].hex() if len(digests) == 1 else hashlib.sha256(b"".join(digests)).hexdigest()


def inputs_in(paths: Sequence[Path], series: str | None = None, *, out: Path) -> tuple[list[Job], Counter[str]]:
    """Every picture, volume and series of files and folders, in the order of their names; and what is left out.

    series: of each INPUT the one that is named. out: the folder of the results, which are no inputs; neither are those
    that a journal in a folder knows, nor hidden files and links.
    Files whose stems are the same keep their endings in the names of their results. Raises ValueError where two
    results would still have the same name, and for a folder that can't be read.
    """
    found: list[tuple[Job, str]] = []  # each with the longer name that it has where the short one is not its own
    left_out: Counter[str] = Counter()
    for path in paths:
        if not path.is_dir():
            found += _of_file(path, path.name, path.parent, series)
        elif series is not None:
            found.append((Job(path, stem_of(path), series, input=stem_of(path), root=path), stem_of(path)))
        else:
            found += _of_tree(path, out.resolve(), left_out)
    names = [job.name for job, _ in found]
    for _ in range(2):  # the longer name of one may be the short one of another
        shared = _twice(names)
        names = [longer if name.casefold() in shared else name for name, (_, longer) in zip(names, found, strict=True)]
    if shared := _twice(names):
        first = next(name for name in names if name.casefold() in shared)
        raise ValueError(f"two of the inputs have the same name, {first!r}; write them to different folders with --out")
    return [dataclasses.replace(job, name=name) for (job, _), name in zip(found, names, strict=True)], left_out


def _twice(names: Sequence[str]) -> set[str]:
    """Those of several names that a file system may take for one another."""
    return {name for name, count in Counter(map(str.casefold, names)).items() if count > 1}


def _of_file(path: Path, relative: str, root: Path, series: str | None = None) -> Iterator[tuple[Job, str]]:
    """A file; of a zip with several series each of them."""
    short = posixpath.join(posixpath.dirname(relative), stem_of(path))
    uids = [series]
    if series is None and zipfile.is_zipfile(path):
        try:
            found = [one.uid for one in series_in(path)]
        except ValueError:  # told when its turn comes
            found = []
        uids = [*found] if len(found) > 1 else uids
    for uid in uids:
        job = Job(path, short, uid, input=relative, root=root, optional=len(uids) > 1)
        yield job, relative if len(uids) == 1 else f"{short}_{uid}"


def _of_tree(root: Path, out: Path, left_out: Counter[str]) -> Iterator[tuple[Job, str]]:
    """The inputs of a folder however deep. DICOM files are one series wherever they lie in it."""
    found: list[tuple[Job, str]] = []
    dicom = []
    for relative in _files(root, out, left_out):
        family = family_of(root / relative)
        if family == "dicom":
            dicom.append(relative)
        elif family:
            found += _of_file(root / relative, relative, root)
        else:
            left_out["files that are no pictures"] += 1
    groups = grouped(root, dicom)
    damaged = set(groups.damaged)
    for uid, files in groups.series.items():
        folder = posixpath.commonpath([posixpath.dirname(file) or "." for file in files]) or "."
        # its reader says that slices are damaged
        files = sorted({*files, *(file for file in groups.damaged if folder == "." or file.startswith(f"{folder}/"))})
        damaged.difference_update(files)
        name = stem_of(root) if folder == "." else folder
        within = tuple(posixpath.relpath(file, folder) for file in files)
        several = len(groups.series) > 1
        found.append((Job(root / folder, name, uid, within, name, root, optional=several), f"{name}_{uid}"))
    for file in damaged:
        found += _of_file(root / file, file, root)
    left_out["DICOM files without a slice"] += len(groups.others)
    if not found:
        found.append((Job(root, stem_of(root), None, tuple(groups.others), stem_of(root), root), stem_of(root)))
    yield from sorted(found, key=lambda each: (each[0].input, each[0].series or ""))


def _files(root: Path, out: Path, left_out: Counter[str]) -> Iterator[str]:
    """The files of a folder however deep, relative to it, without hidden ones, links and results."""

    def refuse(error: OSError) -> None:
        raise ValueError(f"{error.filename} can't be read ({error.strerror}); make it readable, or name another folder")

    known = Journal(out).outputs()
    for folder, folders, names in os.walk(root, onerror=refuse):
        here = Path(folder)
        if any(JOURNAL.fullmatch(name) for name in names):
            with contextlib.suppress(ValueError):  # no journal of results
                known |= Journal(here).outputs()
        for some_names in (folders, names):
            visible = sorted(name for name in some_names if not name.startswith("."))
            links = {name for name in visible if (here / name).is_symlink()}  # they may lead out of it, or round
            left_out["links"] += len(links)
            some_names[:] = [name for name in visible if name not in links]
        folders[:] = [name for name in folders if (here / name).resolve() != out]
        results = {name for name in names if here.resolve() / name in known or JOURNAL.fullmatch(name)}
        left_out["results"] += len(results)
        files = (here / name for name in names if name not in results)
        yield from (path.relative_to(root).as_posix() for path in files if path.is_file())


def _with_beside(path: Path) -> list[Path]:
    """A file, and those that are read with it: the numbers of a detached header, what GDAL keeps beside a TIFF."""
    kind, beside = path.suffix.lower(), list[Path]()
    if kind in (".mhd", ".nhdr"):
        beside = [one for one in path.parent.iterdir() if one.name.startswith(f"{path.stem}.") and one.is_file()]
    elif kind in (".tif", ".tiff"):
        names = (f"{path.name}.msk", f"{path.name}.aux.xml", f"{path.stem}.tfw")
        beside = [path.with_name(name) for name in names if path.with_name(name).is_file()]
    return [path, *sorted(one for one in beside if one != path)]


def _digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise ValueError(f"{path.name} can't be read: {error.strerror or error}; give the path of a picture") from None


def stem_of(path: Path) -> str:
    """The name of an input without its ending; one of digits is none, but the last number of a UID."""
    if path.is_dir():
        return path.resolve().name
    if path.name.lower().endswith(".nii.gz"):
        return path.name[:-7]
    return path.name if path.suffix[1:].isdigit() else path.stem


def reading_of(value_range: Sequence[str] | None, bands: str | None, hounsfield: bool | None) -> Reading:
    """What is said of the inputs, in words: LOW HIGH or auto; 4,3,2. ValueError for what is neither."""
    if hounsfield and value_range:
        raise ValueError("Hounsfield units go through the model's window; leave out hounsfield or the value range")
    limits, chosen = None, None
    if value_range and list(value_range) != AUTO:
        try:
            low, high = map(float, value_range)
        except ValueError:
            given = " ".join(value_range)
            raise ValueError(f"a value range is LOW HIGH, such as 0 4095, or auto; got {given!r}") from None
        limits = (low, high)
    if bands:
        try:
            chosen = tuple(int(part) for part in bands.split(","))
        except ValueError:
            raise ValueError(f"bands are numbers such as 4,3,2; got {bands!r}") from None
    return {"value_range": limits, "bands": chosen, "hounsfield": hounsfield}


def with_common_range(jobs: Sequence[Job], reading: Reading) -> Reading:
    """The reading with the value range in which 98 % of the pixels of all inputs lie; ValueError if they are alike."""
    values = []
    told = reading.copy()
    told["hounsfield"] = False
    for job in jobs:
        most = min(250_000, MOST_NUMBERS // len(jobs))
        try:
            if is_too_large(job.path):
                with streamed(job.path, bands=told.get("bands")) as raster:
                    values.append(some(raster.image, most))
            else:
                values.append(some(job.image(told), most))
        except (ValueError, OSError):  # told when its turn comes
            continue
    low, high = np.percentile(np.concatenate(values), (1, 99)).tolist() if values else (0.0, 1.0)
    if low == high:
        raise ValueError(f"all inputs hold {low:g} nearly everywhere; give --value-range LOW HIGH")
    told["value_range"] = (low, high)
    return told
