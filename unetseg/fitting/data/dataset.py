"""What the network trains on: pictures at the working size, and augmented crops of them."""

from __future__ import annotations

import math
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from ...config import SegmentationConfig
from ...formats import as_image
from ...prepare import at_working_size, evenly, normalise, rescale, scale, working_grid
from ...samples import ct_phantom, draw_sample
from ..recipe import Recipe
from .augment import Batch, Cut, as_float, carry_out, draw_crop
from .folder import Example, read_example, read_slices
from .layouts import is_volume

# generated pictures for training start here; tests and examples stay far below
FIRST_TRAINING_SEED = 1_000_000


class Pictures:
    """The training pictures, and each slice of volumes, at the working size, kept in memory as far as they fit.

    Pictures beyond that are read again. Slices lie in a temporary file, which is gone with the process.
    """

    def __init__(self, examples: Sequence[Example], recipe: Recipe) -> None:
        self.examples, self.recipe = list(examples), recipe
        channels = len(recipe.data.channels)
        # not yet normalised: mean and std are measured on these very pictures
        self.config = recipe.config((0.0,) * channels, (1.0,) * channels)
        share = recipe.train.synthetic_share if recipe.train.synthetic else 0
        self.cache: dict[int, tuple[Tensor, Tensor]] = {}
        self.sizes: dict[int, int] = {}
        self.room = recipe.train.cache_gb * 1e9
        self.origins: list[tuple[Example, int]] = []
        volumes = any(is_volume(example.image) for example in self.examples)
        for example in tqdm(self.examples, "reading", leave=False, unit="volume", disable=not volumes):
            if is_volume(example.image):
                self._keep_slices(example)
            else:
                self.origins.append((example, 0))
        self.synthetic = round(len(self.origins) * share)

    def __len__(self) -> int:
        return len(self.origins) + self.synthetic

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Image float32 (C,h,w) in 0..1 and labels uint8 (h,w), at the working size."""
        image, labels = self.stored(index)
        return as_float(image), labels

    def stored(self, index: int) -> tuple[Tensor, Tensor]:
        """The same, but the image may be uint8, 255 standing for 1, where nothing is lost by that."""
        if index in self.cache:
            return self.cache[index]
        if index < len(self.origins):
            found = read_example(self.origins[index][0], self.recipe.data, self.config)
        else:
            found = self._generated(FIRST_TRAINING_SEED + index - len(self.origins))
        return self._kept(index, *found)

    def _kept(self, index: int, scaled: Tensor, labels: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        """A picture at the working size, and in the cache if there is room."""
        image = at_working_size(scaled[None], self.config)[0]
        resized = torch.from_numpy(labels[np.ix_(*working_grid(len(labels), labels.shape[1], self.config))])
        self.sizes[index] = resized.numel()
        packed = (image * 255).round().byte()
        if torch.equal(as_float(packed), image):  # a quarter of the memory
            image = packed
        if image.nbytes + resized.nbytes <= self.room:
            self.room -= image.nbytes + resized.nbytes
            self.cache[index] = image, resized
        return image, resized

    def _keep_slices(self, example: Example) -> None:
        """Read a volume once: to find one of its slices again, all of them would be unpacked."""
        beyond: dict[int, tuple[torch.Size, torch.Size]] = {}
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            path = Path(folder) / "slices"
            with path.open("wb") as file:
                for number, found in enumerate(read_slices(example, self.recipe.data, self.config)):
                    index = len(self.origins)
                    self.origins.append((example, number))
                    image, labels = self._kept(index, *found)
                    if index not in self.cache:
                        beyond[index] = image.shape, labels.shape
                        file.write(as_float(image).contiguous().numpy().tobytes())
                        file.write(labels.numpy().tobytes() + bytes(-labels.numel() % 4))
            if beyond:  # the file lives on, without a name, until the tensors are gone
                mapped = torch.from_file(str(path), shared=False, size=path.stat().st_size, dtype=torch.uint8)
                for row, (index, (image_shape, labels_shape)) in zip(
                    mapped.view(len(beyond), -1), beyond.items(), strict=True
                ):
                    pixels = row[: 4 * image_shape.numel()].view(torch.float32).view(image_shape)
                    labels = row[pixels.nbytes : pixels.nbytes + labels_shape.numel()].view(labels_shape)
                    self.cache[index] = pixels, labels

    def size(self, index: int) -> int:
        """How many pixels a picture has at the working size."""
        if index not in self.sizes:
            self.stored(index)
        return self.sizes[index]

    def _generated(self, seed: int) -> tuple[Tensor, NDArray[np.uint8]]:
        kind = self.recipe.train.synthetic or "ct"
        # every other slice shows no liver: most of a scan is like that, and hardly any real training slice
        pixels, labels = ct_phantom(seed, liver=False) if kind == "ct" and seed % 2 == 0 else draw_sample(kind, seed)
        return scale(as_image(pixels), self.config)[0], labels


def measure(pictures: Pictures) -> tuple[tuple[float, ...], tuple[float, ...], list[int]]:
    """Mean and standard deviation of each channel, and the pixels of each label, over the training pictures.

    Raises ValueError for a class without a single pixel.
    """
    config = pictures.config
    total = torch.zeros(len(config.channels), dtype=torch.float64)
    squares, pixels = torch.zeros_like(total), 0
    counts = torch.zeros(256, dtype=torch.int64)
    for index in range(len(pictures)):
        image, labels = pictures[index]
        total += image.sum(dim=(1, 2), dtype=torch.float64)
        squares += image.double().square().sum(dim=(1, 2))
        pixels += labels.numel()
        counts += torch.bincount(labels.flatten().long(), minlength=256)
    for label, name in enumerate(config.labels):
        if counts[label] == 0:
            raise ValueError(
                f"{name!r} has no pixel in the {len(pictures)} training pictures, so it can't be learnt; "
                "take it out of classes, or check mask_values and the split"
            )
    mean = total / pixels
    # a floor, for pictures of one single tone
    std = (squares / pixels - mean.square()).clamp(min=0).sqrt().clamp(min=1e-3)
    return (
        tuple(round(v, 5) for v in mean.tolist()),
        tuple(round(v, 5) for v in std.tolist()),
        counts[: len(config.labels)].tolist(),
    )


class Crops(Dataset[Cut]):
    """Crops to be augmented: item (epoch, i) depends on the seed, the epoch and i alone."""

    def __init__(self, pictures: Pictures, config: SegmentationConfig) -> None:
        self.pictures, self.config = pictures, config
        self.augment, self.train = pictures.recipe.augment, pictures.recipe.train
        area = self.train.crop**2
        self.order = [
            index for index in range(len(pictures)) for _ in range(max(1, math.ceil(pictures.size(index) / area)))
        ]

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, key: tuple[int, int]) -> Cut:
        """The part of a picture that a crop needs, and what is to happen to it."""
        epoch, i = key
        generator = torch.Generator().manual_seed(random.Random(f"{self.train.seed}/{epoch}/{i}").getrandbits(63))
        return draw_crop(*self.pictures.stored(self.order[i]), self.train.crop, self.augment, generator)

    @property
    def generated(self) -> float:
        """The share of the crops that is cut from generated pictures, 0..1."""
        return sum(index >= len(self.pictures.origins) for index in self.order) / len(self.order)

    def size_at(self, epoch: int, step: int) -> int:
        """Pixels a side of the crops of a step: half of `crop` in coarse epochs, else as the scales in turn say."""
        if epoch < self.train.coarse_epochs:
            return self.train.crop // 2
        return round(self.train.crop * self.config.scales[step % len(self.config.scales)])

    def finished(self, batch: Batch, size: int | None = None) -> tuple[Tensor, Tensor]:
        """What the network trains on, made where the batch lies: normalised images (B,C,s,s) and labels (B,s,s).

        size: s, the pixels a side; another than `crop` shows the same places at another resolution.
        """
        size = size or self.train.crop
        images, labels = carry_out(batch, self.train.crop, self.augment)
        if size != self.train.crop:  # as prediction does it, for labels by nearest neighbour
            images = rescale(images, size / self.train.crop)
            places = torch.from_numpy(evenly(self.train.crop, size)).to(labels.device)
            labels = labels[:, places][:, :, places]
        return normalise(images, self.config), labels

    def batches(self, epoch: int, start: int = 0) -> list[list[tuple[int, int]]]:
        """The keys of an epoch's batches from number `start` on, shuffled; a last incomplete batch is left out."""
        order = list(range(len(self)))
        random.Random(f"{self.train.seed}/{epoch}").shuffle(order)
        size = min(self.train.batch_size, len(order))
        whole = [order[i : i + size] for i in range(0, len(order) - size + 1, size)]
        return [[(epoch, i) for i in batch] for batch in whole[start:]]

    def name(self, i: int) -> str:
        """The file name of the picture that crop i is taken from, of a volume with the slice."""
        index, origins = self.order[i], self.pictures.origins
        if index >= len(origins):
            return f"synthetic picture {index - len(origins)}"
        example, number = origins[index]
        return example.image.name + (f", slice {number + 1}" if is_volume(example.image) else "")
