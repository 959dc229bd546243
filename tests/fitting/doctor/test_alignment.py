"""`unetseg.fitting.doctor.alignment`: masks that are turned, or those of other pictures."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from unetseg.fitting.doctor import diagnose, report_text

Pixels = NDArray[np.uint8]
MASKS = 24


def blobs(seed: int, shape: tuple[int, int]) -> Pixels:
    """Two discs and a bar, nowhere near symmetric."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    mask = np.zeros(shape, dtype=np.uint8)
    for _ in range(2):
        mask[np.hypot(y - random.integers(8, shape[0] - 8), x - random.integers(8, shape[1] - 8)) < 7] = 255
    mask[random.integers(2, shape[0] // 2) :][:4, : shape[1] // 3] = 255
    return mask


def photo(seed: int, mask: Pixels, contrast: int) -> Pixels:
    noise = np.random.default_rng(seed + 1000).integers(0, 60, (*mask.shape, 3))
    return (noise + 60 + contrast * (mask[..., None] > 0)).astype(np.uint8)


def folder_of(
    place: Path,
    count: int = MASKS,
    shape: tuple[int, int] = (48, 64),
    contrast: int = 60,
    change: Callable[[list[Pixels]], list[Pixels]] = list,
    turn: int = 1,
) -> Path:
    """Photos with an EXIF orientation, as stored, and their masks, all changed in some way."""
    masks = [blobs(i, shape) for i in range(count)]
    for name in ("images", "masks"):
        (place / name).mkdir(parents=True)
    for i, (mask, drawn) in enumerate(zip(masks, change(masks), strict=True)):
        exif = Image.Exif()
        exif[0x0112] = turn
        Image.fromarray(photo(i, mask, contrast)).save(place / f"images/{i}.jpg", exif=exif, quality=95)
        Image.fromarray(np.ascontiguousarray(drawn)).save(place / f"masks/{i}.png")
    return place


def upright(turn: int) -> Callable[[list[Pixels]], list[Pixels]]:
    """The masks drawn in a program that turned the photos."""

    def turned(masks: list[Pixels]) -> list[Pixels]:
        ways = {3: lambda m: m[::-1, ::-1], 2: lambda m: m[:, ::-1], 6: lambda m: np.rot90(m, -1)}
        return [ways[turn](mask) for mask in masks]

    return turned


@pytest.mark.parametrize(("turn", "shape"), [(2, (48, 64)), (3, (48, 64)), (6, (64, 64))])
def test_masks_on_stored_pixels_of_turned_photos_are_asked_about_and_turned_ones_are_not(
    tmp_path: Path, turn: int, shape: tuple[int, int]
) -> None:
    stored = diagnose(folder_of(tmp_path / "stored", 6, shape, turn=turn))
    (question,) = stored.ambiguous
    assert "the masks lie on the photos as they are stored" in question
    assert "images/0.jpg" in question
    drawn = diagnose(folder_of(tmp_path / "drawn", 6, shape, turn=turn, change=upright(turn)))
    assert not drawn.ambiguous, report_text(drawn)
    unseen = diagnose(folder_of(tmp_path / "unseen", 6, shape, contrast=0, turn=turn))
    (question,) = unseen.ambiguous
    assert "can't be seen" in question
    oblong = diagnose(folder_of(tmp_path / "oblong", 6, (48, 64), turn=6, change=upright(6)))
    assert not oblong.ambiguous  # its size is the proof


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda masks: masks[1:] + masks[:1], "masks/0.png fits images/1.jpg"),
        (lambda masks: [*masks[:12], masks[0], *masks[12:-1]], "they are moved"),  # one too many in the middle
        (lambda masks: [masks[i] for i in np.random.default_rng(1).permutation(len(masks))], "of another picture"),
        (lambda masks: [mask[:, ::-1] for mask in masks], "only once they are mirrored"),
        (lambda masks: [mask[::-1] for mask in masks], "only once they are upside down"),
        (lambda masks: [blobs(900 + i, mask.shape) for i, mask in enumerate(masks)], "no better than any others"),
    ],
)
def test_masks_that_lie_elsewhere_are_asked_about(
    tmp_path: Path, change: Callable[[list[Pixels]], list[Pixels]], words: str
) -> None:
    diagnosis = diagnose(folder_of(tmp_path / "data", change=change))
    (question,) = diagnosis.ambiguous
    assert words in question


@pytest.mark.parametrize("count", [5, 12, MASKS])
@pytest.mark.parametrize("contrast", [20, 60])
def test_masks_that_fit_raise_nothing(tmp_path: Path, count: int, contrast: int) -> None:
    diagnosis = diagnose(folder_of(tmp_path / "data", count, contrast=contrast))
    assert {finding.weight for finding in diagnosis.findings} <= {"note"}, report_text(diagnosis)


def test_classes_that_can_not_be_seen_are_worth_a_word_and_with_many_pictures_a_question(tmp_path: Path) -> None:
    few, many = (diagnose(folder_of(tmp_path / str(count), count, contrast=0)) for count in (12, MASKS))
    assert not few.ambiguous
    assert any("no better than any others" in f.what and f.weight == "warning" for f in few.findings)
    assert "no better than any others" in many.ambiguous[0]
    assert many.recipe
