"""What labels amount to: pieces, areas, volumes; and how they may be cleaned, when that is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .config import SegmentationConfig
from .formats import Image, Raster, imported

Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class Cleaning:
    """What is done to labels after their decision; nothing unless asked for. Pieces hang together at sides or corners.

    largest: of each class only the largest piece stays (of a volume: in three dimensions).
    minimum: pieces of fewer pixels (voxels) go.
    holes: background that a class encloses becomes that class.
    """

    largest: bool = False
    minimum: int = 0
    holes: bool = False

    def __post_init__(self) -> None:
        if self.minimum < 0:
            raise ValueError(f"pieces have at least 0 pixels, got a minimum of {self.minimum}")

    def __bool__(self) -> bool:
        return self != Cleaning()


def cleaned(
    labels: Labels, config: SegmentationConfig, cleaning: Cleaning, valid: NDArray[np.bool_] | None = None
) -> Labels:
    """Labels (D,H,W) with pieces removed to the background and holes filled; ValueError without a background.

    Where nothing is `valid`, no piece is.

    >>> spots = np.array([[[1, 0, 1, 1], [0, 0, 1, 1]]], dtype=np.uint8)
    >>> cleaned(spots, liver, Cleaning(minimum=2)).tolist()
    [[[0, 0, 1, 1], [0, 0, 1, 1]]]
    """
    if not cleaning:
        return labels
    if config.background is None:
        raise ValueError("labels without a background can't be cleaned: what goes would have no label; leave it out")
    result = labels.copy()
    if valid is not None:
        labels = np.where(valid, labels, np.uint8(0))
    for label in range(1, len(config.labels)):
        box = _box(labels, label)
        if box is None:
            continue
        mask = labels[box] == label
        if cleaning.largest or cleaning.minimum > 1:
            pieces, count = _pieces(mask)
            sizes = np.bincount(pieces[mask], minlength=count + 1)
            stays = sizes >= cleaning.minimum
            if cleaning.largest:
                stays &= np.arange(count + 1) == 1 + sizes[1:].argmax()
            stays[0] = False
            kept = stays[pieces]
            del pieces
            result[box][mask & ~kept] = 0
            mask = kept
        if cleaning.holes:
            filled = _ndimage().binary_fill_holes(mask if len(labels) > 1 else mask[0])
            result[box][filled.reshape(mask.shape) & (labels[box] == 0)] = label
    return result


def measured(
    labels: Labels, probability_sums: Sequence[float | None], image: Image, config: SegmentationConfig
) -> list[dict[str, Any]]:
    """Each label of (D,H,W): its pixels, share, area or volume where the image has a place, pieces, mean probability.

    probability_sums: of each label, its probability summed over its own pixels; None where it has no output.
    Only pixels that are valid count.
    """
    # slice by slice: a count of all at once would need eight times their room
    counts = np.zeros(len(config.labels), dtype=np.int64)
    for index, slice_ in enumerate(labels):
        seen = slice_ if image.valid is None else slice_[image.valid[index]]
        counts += np.bincount(seen.ravel(), minlength=len(config.labels))
    unit = None if image.place is None else image.place.unit
    by_row = image.place.row_units if isinstance(image.place, Raster) else None
    found = []
    for label, (name, count) in enumerate(zip(config.labels, counts.tolist(), strict=True)):
        row: dict[str, Any] = {"name": name, "label": label, "pixels": count}
        row["share"] = round(count / max(1, int(counts.sum())), 6)
        if unit is not None:
            total = count * unit[1]
            if by_row is not None:
                here = labels[0] == label
                total = float(by_row @ (here if image.valid is None else here & image.valid[0]).sum(axis=1))
            row[{"mL": "volume_ml", "ha": "area_ha"}[unit[0]]] = round(total, 4)
        if label > 0 or config.background is None:
            box = _box(labels, label, image.valid)
            mask = None if box is None else labels[box] == label
            if mask is not None and image.valid is not None:
                mask &= image.valid[box]
            row["pieces"] = 0 if mask is None else _pieces(mask)[1]
            if len(labels) > 1:
                row["slices"] = None if box is None else [box[0].start + 1, box[0].stop]
        likely = probability_sums[label]
        row["mean_probability"] = None if likely is None or count == 0 else round(likely / count, 4)
        found.append(row)
    return found


def report(
    labels: Labels,
    probability_sums: Sequence[float | None],
    image: Image,
    config: SegmentationConfig,
    *,
    thresholds: Sequence[float],
    cleaning: Cleaning,
    model: str,
    network: str,
    read: str,
    notices: Sequence[str],
    picture: Mapping[str, float] | None,
    trust: Mapping[str, Any],
) -> dict[str, Any]:
    """All that `report.json` says of one input: what was read and how, what decided, what was found.

    picture: the probabilities of the classes for the picture as a whole. trust: how far all that can be trusted, see
    `Segmentation`.
    """
    by_threshold = not config.exclusive and config.background is not None
    return {
        "name": image.name,
        "read": read,
        "notices": list(notices),
        "model": model,
        "network": network,
        **trust,
        "decided_by": dict(zip(config.outputs, thresholds, strict=True)) if by_threshold else "argmax",
        "cleaning": asdict(cleaning) if cleaning else None,
        **(
            {} if picture is None else {"picture": {"label": max(picture, key=picture.__getitem__), "classes": picture}}
        ),
        "labels": measured(labels, probability_sums, image, config),
    }


def _box(labels: Labels, label: int, valid: NDArray[np.bool_] | None = None) -> tuple[slice, ...] | None:
    """The smallest block that holds all of a label of (D,H,W), so that what is rare costs little; None for nothing."""
    found = [np.zeros(side, dtype=bool) for side in labels.shape]
    for index, slice_ in enumerate(labels):
        mask = slice_ == label
        if valid is not None:
            mask &= valid[index]
        found[1] |= mask.any(axis=1)
        found[2] |= mask.any(axis=0)
        found[0][index] = mask.any()
    ends = [np.flatnonzero(here) for here in found]
    return tuple(slice(int(e[0]), int(e[-1]) + 1) for e in ends) if ends[0].size else None


def _pieces(mask: NDArray[np.bool_]) -> tuple[NDArray[Any], int]:
    """Numbered pieces (D,H,W) and how many, in half the room as long as their numbers fit in 16 bits."""
    touching = np.ones((3, 3, 3))
    pieces = np.empty(mask.shape, np.uint16)
    try:
        return pieces, int(_ndimage().label(mask, touching, output=pieces))
    except RuntimeError:
        found, count = _ndimage().label(mask, touching)
        return found, int(count)


def _ndimage() -> Any:  # noqa: ANN401, a module
    return imported("scipy.ndimage", "what counts pieces and fills holes", extra="report")
