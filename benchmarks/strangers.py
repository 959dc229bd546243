"""How a model meets pictures that it has not seen: `python benchmarks/strangers.py SHARED [--parts windows turns ...]`.

SHARED is a folder with `liver/` (images, masks, manifest.csv with stem, split, patient, origin), `uploads/` (CT in
Hounsfield units), `satellite/images`, `landcover_more/images` and `pictures/pets/images`.

windows: CT in Hounsfield units exported as pictures of 8 bits in other windows, against the labels of the Hounsfield
units: Dice pooled over each volume, as they are and with proposals accepted.
turns: validation slices in eight turns and mirror images, and inverted: how many have, with proposals accepted, a Dice
within 0.02 of the upright one.
foreign: how many of what kind are called foreign, or get another sentence: of a change, of grey where colour is meant.
hospitals: a gate of one source's slices alone, met by the slices of the other: how many with a Dice of at least 0.93
are called foreign, and the mean Dice of those that are and of the others.
cost: the whole path with its distance and the look at turns against without them.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a clone works without being installed

import numpy as np  # noqa: E402
import PIL.Image  # noqa: E402
import PIL.ImageDraw  # noqa: E402
import torch  # noqa: E402

from unetseg import Image, Predictor, Segmentation, read_image  # noqa: E402
from unetseg.formats import as_image  # noqa: E402
from unetseg.gate import fitted, turned  # noqa: E402

WINDOWS = ((-160, 240), (-1000, 1000), (-1024, 3071), (0, 400), (20, 180))
VOLUMES = ("dicom_crlm1004", "ct_volume.nii.gz", "ct_volume_small.nii.gz")
GOOD = 0.93


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """Of two masks; 1 where both are empty."""
    total = one.sum() + other.sum()
    return float(2 * (one & other).sum() / total) if total else 1.0


def slices(folder: Path, split: str) -> Iterator[tuple[dict[str, str], np.ndarray, np.ndarray]]:
    """Row of the manifest, grey pixels (H,W) and mask of the slices of a split."""
    with (folder / "manifest.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["split"] == split:
                name = f"{row['stem']}.png"
                picture = np.asarray(PIL.Image.open(folder / "images" / name).convert("L"))
                yield row, picture, np.asarray(PIL.Image.open(folder / "masks" / name)) > 127


def windows(predictor: Predictor, shared: Path) -> None:
    print("\n| volume, window | Dice as it is | with proposals | proposals of slices |\n|---|---:|---:|---:|")
    for name in VOLUMES:
        volume = read_image(shared / "uploads" / name)
        truth = predictor(volume).labels() > 0
        for low, high in WINDOWS:
            shown = (np.clip((volume.pixels - float(low)) / (high - low), 0, 1) * 255).round().astype(np.uint8)
            found: dict[bool, list[np.ndarray]] = {False: [], True: []}
            proposals = 0
            for accept, labels in found.items():
                for index in range(len(shown)):
                    one = predictor(as_image(shown[index, ..., 0]), accept_proposals=accept)
                    labels.append(one.labels()[0] > 0)
                    proposals += one.accepted is not None
            cells = [f"{dice(np.stack(labels), truth):.3f}" for labels in found.values()]
            print(f"| {name}, [{low}, {high}] HU | {' | '.join(cells)} | {proposals} of {len(shown)} |", flush=True)


def turns(predictor: Predictor, shared: Path) -> None:
    kinds = [*(f"view {view}" for view in range(8)), "inverted"]
    near, silent, count = dict.fromkeys(kinds, 0), dict.fromkeys(kinds, 0), 0
    for _, picture, mask in slices(shared / "liver", "val"):
        upright = dice(predictor(as_image(picture)).labels()[0] > 0, mask)
        count += 1
        for number, kind in enumerate(kinds):
            inverted = kind == "inverted"
            pixels = 255 - picture if inverted else np.ascontiguousarray(turned(torch.tensor(picture), number).numpy())
            truth = mask if inverted else turned(torch.tensor(mask), number).numpy()
            found = predictor(as_image(pixels), accept_proposals=True)
            near[kind] += abs(dice(found.labels()[0] > 0, truth) - upright) <= 0.02
            silent[kind] += found.accepted is None
    print("\n| validation slices | Dice within 0.02 of upright | nothing proposed |\n|---|---:|---:|")
    for kind in kinds:
        print(f"| {kind} | {near[kind] / count:.3f} | {silent[kind] / count:.3f} |", flush=True)


def pictures(folder: Path, every: int) -> Iterator[Image]:
    for path in sorted(folder.iterdir())[::every]:
        yield read_image(path)


def written() -> Iterator[Image]:
    """Pages of letters and fields of noise (synthetic)."""
    random = np.random.default_rng(0)
    for _ in range(40):
        page = PIL.Image.new("L", (400, 300), 255)
        for top in range(10, 290, 14):
            line = "".join(random.choice(list("abcdefghij klmnop"), 60))
            PIL.ImageDraw.Draw(page).text((10, top), line, fill=0)
        yield replace(as_image(np.asarray(page)), name="text")
        yield replace(as_image(random.integers(0, 256, (256, 256)).astype(np.uint8)), name="noise")


def grey(image: Image) -> Image:
    """As a picture of one channel: a doubt of its colours is not what is measured."""
    return as_image(np.asarray(PIL.Image.fromarray(image.pixels[0][..., :3].squeeze()).convert("L")))


def coloured(image: Image) -> Image:
    return as_image(np.repeat(image.pixels[0], 3, axis=2)) if image.pixels.shape[3] == 1 else image


def foreign(predictor: Predictor, shared: Path) -> None:
    as_ours = grey if predictor.config.channels == ("gray",) else coloured
    slices_of = {
        split: (as_image(picture) for _, picture, _ in slices(shared / "liver", split)) for split in ("val", "test")
    }
    kinds: dict[str, Iterator[Image]] = {
        "liver slices, validation": slices_of["val"],
        "liver slices, test": slices_of["test"],
        "Dubai": pictures(shared / "satellite" / "images", 2),
        "other places": pictures(shared / "landcover_more" / "images", 3),
        "photographs": pictures(shared / "pictures" / "pets" / "images", 10),
        "text and noise": written(),
    }
    print("\n| pictures | called foreign | any sentence | count |\n|---|---:|---:|---:|")
    for kind, images in kinds.items():
        found = [predictor(as_ours(image)) for image in images]
        far = [one.distance > one.limit for one in found if one.distance is not None and one.limit is not None]
        told = [bool(one.notices) for one in found]
        print(f"| {kind} | {np.mean(far):.3f} | {np.mean(told):.3f} | {len(far)} |", flush=True)


def hospitals(predictor: Predictor, shared: Path) -> None:
    assert predictor.gate is not None
    found: dict[tuple[str, bool], list[tuple[Segmentation, float]]] = {}
    for split in ("train", "val", "test"):
        for row, picture, mask in slices(shared / "liver", split):
            one = predictor(as_image(picture))
            key = ("LiTS" if row["patient"].startswith("lits") else "MSD", split == "train")
            found.setdefault(key, []).append((one, dice(one.labels()[0] > 0, mask)))
    print(
        "\n| gate of | slices of | good ones called foreign | Dice of the foreign, of the others |\n|---|---|---:|---:|"
    )
    for own, other in (("LiTS", "MSD"), ("MSD", "LiTS")):
        windows = torch.cat([one.features[0] for one, _ in found[own, True] if one.features is not None])
        gate = fitted(windows, predictor.gate.intensities)
        held = torch.cat([gate.distances(one.features) for one, _ in found[own, False] if one.features is not None])
        limit = float(torch.quantile(held, 0.97))
        met = found[other, True] + found[other, False]
        far = np.array([float(gate.distances(one.features)[0]) > limit for one, _ in met if one.features is not None])
        scores = np.array([score for _, score in met])
        good = far[scores >= GOOD].mean()
        print(
            f"| {own} | {other} | {good:.3f} of {(scores >= GOOD).sum()} | "
            f"{scores[far].mean():.3f} ({far.sum()}), {scores[~far].mean():.3f} |",
            flush=True,
        )


def cost(predictor: Predictor, shared: Path) -> None:
    _, picture, _ = next(slices(shared / "liver", "val"))
    image = as_image(np.asarray(PIL.Image.fromarray(picture).resize((512, 512))))
    if predictor.config.channels != ("gray",):
        image = coloured(image)
    gate, times = predictor.gate, {True: [], False: []}
    for _ in range(60):
        for with_gate, taken in times.items():
            predictor.gate = gate if with_gate else None
            started = time.perf_counter()
            found = predictor._segmented([image])[0]
            _ = found.is_suspect, found.distance, found.agreement
            found.labels()
            taken.append(time.perf_counter() - started)
    predictor.gate = gate
    on, off = (statistics.median(times[kind]) * 1000 for kind in (True, False))
    print(f"\ndistances and turns: {on:.1f} ms against {off:.1f} ms without, {on / off - 1:+.1%}")


PARTS = {"windows": windows, "turns": turns, "foreign": foreign, "hospitals": hospitals, "cost": cost}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("--checkpoint", default="liver-unet")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args(arguments)
    predictor = Predictor.from_pretrained(options.checkpoint)
    if predictor.gate is None:
        parser.error(f"{options.checkpoint} has no gate")
    print(f"{options.checkpoint}, limit {predictor.gate.limit}, {torch.get_num_threads()} threads")
    for part in options.parts:
        PARTS[part](predictor, options.shared)


if __name__ == "__main__":
    main()
