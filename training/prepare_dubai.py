"""Turn the published Dubai aerial data set into a folder to train on: `python training/prepare_dubai.py SOURCE OUT`.

SOURCE is the zip of "Semantic segmentation of aerial imagery" (Humans in the Loop with the Mohammed Bin Rashid Space
Centre, CC0), or the folder unpacked from it: `Tile 1/images/image_part_001.jpg`, `Tile 1/masks/image_part_001.png`.
OUT gets what `recipes/satellite.toml` reads, and the share of each class is shown at the end:

    images/dubai_tile1_part001.jpg  the picture, byte for byte
    masks/dubai_tile1_part001.png   ids: 0 building, 1 land, 2 road, 3 vegetation, 4 water, 5 unlabeled

The colours below are those that the masks are drawn in. The legend in the archive (`classes.json`) names others, and
so do some copies; a mask with a colour that isn't known here is an error that names it. Stopped, the same command
goes on: pairs that are there already are left alone.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import re
import stat
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a clone works without being installed

from unetseg.files import whole  # noqa: E402
from unetseg.process import exit_code  # noqa: E402

COLORS = {
    "building": 0x3C1098,
    "land": 0x8429F6,
    "road": 0x6EC1E4,
    "vegetation": 0xFEDD3A,
    "water": 0xE2A929,
    "unlabeled": 0x9B9B9B,
}
"""What the masks are drawn in, in order of id, as 0xRRGGBB."""
MEMBER = re.compile(r"(?:^|/)Tile ?(\d+)/(images|masks)/image_part_(\d+)\.(?:jpg|png)$")
LARGEST_FILE = 64 << 20
LARGEST_PICTURE = 64 << 20
"""Bytes of a file and pixels of a picture; the largest published ones are below 3 MB and 4 million."""

Pairs = dict[str, dict[str, Callable[[], bytes]]]
"""For each name, how to read its image and its mask."""


@contextlib.contextmanager
def open_source(source: Path) -> Iterator[Pairs]:
    """The pairs of image and mask in a zip or a folder; ValueError says what is missing or unsafe."""
    with contextlib.ExitStack() as stack:
        pairs: Pairs = {}
        for path, read in _files(source, stack):
            if (match := MEMBER.search(path)) and "__MACOSX" not in path:
                name, kind = f"dubai_tile{int(match[1])}_part{int(match[3]):03d}", match[2]
                if kind in pairs.setdefault(name, {}):
                    raise ValueError(f"{source} holds {name} of {kind} twice, again as {path}; remove one")
                pairs[name][kind] = read
        if not pairs:
            raise ValueError(
                f"{source} holds no 'Tile N/images/image_part_NNN.jpg'; give the published zip or its folder"
            )
        for name, kinds in pairs.items():
            if missing := {"images", "masks"} - kinds.keys():
                raise ValueError(f"{name} has no file in {missing.pop()}; get the data again")
        yield dict(sorted(pairs.items()))


def _files(source: Path, stack: contextlib.ExitStack) -> Iterator[tuple[str, Callable[[], bytes]]]:
    if source.is_dir():
        for path in sorted(source.rglob("image_part_*")):
            yield path.as_posix(), path.read_bytes
        return
    try:
        archive = stack.enter_context(zipfile.ZipFile(source))
    except (zipfile.BadZipFile, OSError) as error:
        raise ValueError(f"{source} is no readable zip ({error}); get it again") from None
    for member in archive.infolist():
        if MEMBER.search(member.filename):
            outside = member.filename.startswith("/") or ".." in member.filename.split("/")
            if outside or stat.S_ISLNK(member.external_attr >> 16):
                raise ValueError(f"{source} holds {member.filename!r}, a link or a path that leads out; get it again")
        yield member.filename, partial(_unpacked, archive, member)


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        with archive.open(member) as file:
            content = file.read(LARGEST_FILE + 1)  # whatever size the archive claims
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise ValueError(f"{member.filename} can't be unpacked ({error}); get the zip again") from None
    if len(content) > LARGEST_FILE:
        raise ValueError(f"{member.filename} unpacks to more than {LARGEST_FILE >> 20} MB; get the zip again")
    return content


def _opened(content: bytes, kind: str, name: str) -> PIL.Image.Image:
    """A picture whose size is known and whose pixels are not yet decoded."""
    try:
        picture = PIL.Image.open(io.BytesIO(content), formats=[kind])
    except (OSError, PIL.Image.DecompressionBombError) as error:
        raise ValueError(f"{name} is no readable {kind} ({error}); get the data again") from None
    if picture.width * picture.height > LARGEST_PICTURE:
        raise ValueError(f"{name} is {picture.width} x {picture.height} pixels, expected at most {LARGEST_PICTURE}")
    return picture


def ids_of(mask: PIL.Image.Image, name: str) -> NDArray[np.uint8]:
    """A mask in the colours of the data set as ids (H,W); ValueError names every other colour and its pixels."""
    try:
        colors = np.asarray(mask.convert("RGB")).astype(np.int64) @ (65536, 256, 1)  # 0xRRGGBB
    except (OSError, SyntaxError) as error:  # what Pillow raises for PNG that is cut off or damaged
        raise ValueError(f"{name} is damaged ({error}); get the data again") from None
    ids = np.full(colors.shape, 255, dtype=np.uint8)
    for number, color in enumerate(COLORS.values()):
        ids[colors == color] = number
    if (ids == 255).any():
        found, counts = np.unique(colors[ids == 255], return_counts=True)
        most = np.argsort(-counts)[:8]
        words = ", ".join(f"#{found[i]:06x} ({counts[i]} pixels)" for i in most)
        more = f" and {len(found) - len(most)} more" if len(found) > len(most) else ""
        raise ValueError(
            f"{name} holds colours that belong to no class: {words}{more}; "
            f"known are {', '.join(f'#{color:06x} {known}' for known, color in COLORS.items())}"
        )
    return ids


def prepare(source: Path, out: Path) -> NDArray[np.int64]:
    """Write all pairs of a source that are not there yet; the pixels of each class over all of them.

    Raises ValueError for a source that doesn't fit.
    """
    total = np.zeros(len(COLORS), dtype=np.int64)
    with open_source(source) as pairs:
        for name in ("images", "masks"):
            (out / name).mkdir(parents=True, exist_ok=True)
        for name, read in pairs.items():
            image_path, mask_path = out / "images" / f"{name}.jpg", out / "masks" / f"{name}.png"
            if image_path.exists() and mask_path.exists():
                try:
                    ids = np.asarray(PIL.Image.open(mask_path))
                except (OSError, SyntaxError) as error:
                    raise ValueError(f"{mask_path} is damaged ({error}); remove it, and it is made again") from None
            else:
                content = read["images"]()
                mask = _opened(read["masks"](), "PNG", f"the mask of {name}")
                if (size := _opened(content, "JPEG", name).size) != mask.size:
                    raise ValueError(f"{name} is {size} pixels, its mask {mask.size}; they must be equal")
                ids = ids_of(mask, f"the mask of {name}")
                with whole(mask_path) as temporary:
                    PIL.Image.fromarray(ids).save(temporary, format="PNG")
                with whole(image_path) as temporary:
                    temporary.write_bytes(content)
            total += np.bincount(ids.ravel(), minlength=len(COLORS))
    logging.info("%s holds %d pictures", out, len(pairs))
    return total


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 when all pairs are there, 1 with one sentence on what is wrong, 130 when stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, metavar="SOURCE", help="the published zip, or the folder unpacked from it")
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder to write")
    options = parser.parse_args(arguments)

    def work() -> None:
        counts = prepare(options.source, options.out)
        for name, share in zip(COLORS, counts / counts.sum(), strict=True):
            logging.info("%-11s %6.2f %%", name, 100 * share)

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())
