"""Codings of masks, as annotation tools write them."""

import io

import numpy as np
import PIL.Image
from numpy.typing import NDArray


def packed(mask: NDArray[np.bool_], *, word: int = 8, lengths: tuple[int, ...] = (3, 4, 8, 16)) -> bytes:
    """A mask as Label Studio's brush writes it: four bytes a pixel, in blocks of one number or of several."""
    numbers = np.zeros((mask.size, 4), dtype=np.uint8)
    numbers[mask.ravel()] = (200, 100, 50, 255)
    flat = numbers.ravel().tolist()
    bits = f"{len(flat):032b}{word - 1:05b}" + "".join(f"{length - 1:04b}" for length in lengths)
    place = 0
    while place < len(flat):
        run = 1
        while place + run < len(flat) and flat[place + run] == flat[place] and run < 2**16:
            run += 1
        repeated = run > 2
        count = run if repeated else min(5, len(flat) - place)
        which = next(i for i, length in enumerate(lengths) if count <= 2**length)
        bits += f"{int(repeated)}{which:02b}{count - 1:0{lengths[which]}b}"
        bits += "".join(
            f"{number:08b}" for number in (flat[place : place + 1] if repeated else flat[place : place + count])
        )
        place += count
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))


def compressed(lengths: list[int]) -> str:
    """Lengths as COCO's tools write them, by the words of `coco_lengths`."""
    text = ""
    for i, length in enumerate(lengths):
        number, more = length - (lengths[i - 2] if i > 2 else 0), True
        while more:
            low, number = number & 31, number >> 5
            more = number != (-1 if low & 16 else 0)
            text += chr(48 + low + 32 * more)
    return text


def png(array: NDArray[np.generic], **saving: int) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(array).save(file, format="PNG", **saving)
    return file.getvalue()
