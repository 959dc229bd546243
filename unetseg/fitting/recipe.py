"""What a training run is told: a TOML file, strict, every field documented here."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..config import Color, Probability, SegmentationConfig, Task, explain
from ..samples import SampleKind

IGNORE_NAME = "ignore"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Data(_Section):
    """`[data]`: what the folder holds and what it means.

    task, classes, background, palette, channels, value_range, window, orientation: as in `config.json`.
    images, masks: folders inside the data folder; a mask has the name of its image, the ending may differ.
    mask_values: what each value of a mask file means: a number (`255`) or a colour (`#3c1098`) to the name of
        a class, of the background, or "ignore". A value that is not named here is an error.
    manifest: a CSV inside the data folder with a column `stem`; only the pictures it lists are used.
    group_column, split_column: columns of the manifest with the group (patient, tile) and train, val or test.
    group_pattern: without a group column, a regular expression on the stem whose first bracket is the group;
        without both, every picture is its own group.
    val, test: without a split column, the names of the groups to hold out, or the share of the groups.
    """

    task: Task
    classes: tuple[str, ...]
    background: str | None = None
    palette: tuple[Color, ...]
    channels: tuple[str, ...] = ("red", "green", "blue")
    value_range: tuple[tuple[float, float], ...] | None = None
    window: tuple[float, float] | None = None
    orientation: Literal["LPS"] | None = None
    images: str = "images"
    masks: str = "masks"
    mask_values: dict[Annotated[str, Field(pattern=r"^(\d+|#[0-9a-fA-F]{6})$")], str] = Field(min_length=1)
    manifest: str | None = None
    group_column: str | None = None
    split_column: str | None = None
    group_pattern: str | None = None
    val: tuple[str, ...] | Probability = 0.2
    test: tuple[str, ...] | Probability = 0.0

    @field_validator("group_pattern")
    @classmethod
    def _group_pattern_has_a_group(cls, pattern: str | None) -> str | None:
        try:
            brackets = pattern is None or re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"it is no regular expression ({error})") from None
        if not brackets:
            raise ValueError("the regular expression needs a bracket around the group")
        return pattern

    @model_validator(mode="after")
    def _mask_values_fit(self) -> Data:
        labels = self.classes if self.background is None else (self.background, *self.classes)
        for value, name in self.mask_values.items():
            if name not in (*labels, IGNORE_NAME):
                raise ValueError(
                    f"mask_values gives {value!r} the name {name!r}, expected one of {list(labels)} or ignore"
                )
        if len({value.startswith("#") for value in self.mask_values}) > 1:
            raise ValueError("mask_values mixes numbers and colours; a mask holds one or the other")
        if missing := set(labels) - set(self.mask_values.values()):
            raise ValueError(f"mask_values names no value for {sorted(missing)}; every label needs one")
        if (self.group_column or self.split_column) and self.manifest is None:
            raise ValueError("group_column and split_column are columns of a manifest; name it with manifest")
        return self


class Model(_Section):
    """`[model]`: working_size and widths as in `config.json`."""

    working_size: int | None = None
    widths: tuple[int, ...] = (16, 32, 64, 128, 256)


class Augment(_Section):
    """`[augment]`: random changes to training pictures; what is left out or 0 is not done.

    flip: which ways a picture may be mirrored. rotate: at most so many degrees either way.
    scale: zoom between 1 / scale and scale. translate: shift by at most this share of the crop.
    narrow_window: at most this share of the grey range is cut from black, and as much from white; mostly less.
    gamma, contrast: factors between 1 / x and x. brightness: at most so much is added to values 0..1.
    color: a factor for each channel between 1 / x and x. saturation: a factor for the distance from grey, likewise.
    haze: mixes in at most this share of light grey.
    noise: standard deviation of added Gaussian noise. blur: standard deviation of a Gaussian blur in pixels.
    background_crop: for so large a share of the crops, a window of the picture without a pixel of any class is
        looked for and enlarged, so that the network meets pictures that show nothing to be found.
    """

    flip: tuple[Literal["horizontal", "vertical"], ...] = ()
    rotate: float = Field(0, ge=0, le=180)
    scale: float = Field(1, ge=1, le=4)
    translate: float = Field(0, ge=0, le=0.5)
    narrow_window: float = Field(0, ge=0, le=0.5)
    gamma: float = Field(1, ge=1, le=4)
    contrast: float = Field(1, ge=1, le=4)
    brightness: float = Field(0, ge=0, le=0.5)
    color: float = Field(1, ge=1, le=4)
    saturation: float = Field(1, ge=1, le=4)
    haze: float = Field(0, ge=0, le=0.9)
    noise: float = Field(0, ge=0, le=0.5)
    blur: float = Field(0, ge=0, le=4)
    background_crop: Probability = 0


class Train(_Section):
    """`[train]`: the run itself.

    epochs: passes over the data; a pass sees a large picture in as many crops as cover it.
    crop: side in pixels of what the network trains on. batch_size: crops per step.
    learning_rate: the peak of AdamW's, after `warmup_epochs` of linear rise, then falling as a cosine to 0.
    dice_weight: how much soft Dice is added to the cross entropy (0 is cross entropy alone).
    batch_dice: soft Dice pools the crops of a batch; false: each counts alone, which weighs small objects more.
    ema: decay per step of the moving average of weights that is validated and saved; 0 is none.
    keep: the checkpoint with the best mean group Dice on validation, or the last.
    validate_every: in epochs. synthetic: kind of generated pictures mixed in, as many as
        `synthetic_share` of the real ones. workers: processes that load data; 0 loads in the main one.
    cache_gb: pictures are kept in memory up to this many gigabytes, and read again beyond.
    """

    epochs: int = Field(50, ge=1)
    batch_size: int = Field(8, ge=1)
    crop: int = Field(256, ge=16)
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    warmup_epochs: float = Field(1, ge=0)
    dice_weight: float = Field(1, ge=0)
    batch_dice: bool = True
    ema: float = Field(0.995, ge=0, lt=1)
    clip_norm: float = Field(1, gt=0)
    keep: Literal["best", "last"] = "best"
    validate_every: int = Field(1, ge=1)
    synthetic: SampleKind | None = None
    synthetic_share: float = Field(0, ge=0)
    workers: int = Field(0, ge=0)
    cache_gb: float = Field(4, ge=0)
    seed: int = 0


class Card(_Section):
    """`[card]`: what the model card says beyond what the run measures.

    license: of the weights, an identifier of the hub. data: where the pictures come from, as Markdown.
    limits: where the model fails, as Markdown. tags: of the model on the hub, beside the general ones.
    """

    title: str
    summary: str
    license: str
    data: str
    limits: str
    tags: tuple[str, ...] = ()


class Recipe(_Section):
    """A training run: `[data]`, `[model]`, `[augment]`, `[train]` and, to publish, `[card]`."""

    data: Data
    model: Model = Model()
    augment: Augment = Augment()
    train: Train = Train()
    card: Card | None = None

    @classmethod
    def from_file(cls, path: Path) -> Recipe:
        """Read a TOML file; ValueError in one sentence names the file and the field."""
        try:
            fields = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ValueError(f"{path} can't be read: {error.strerror}; give the path of a recipe (.toml)") from None
        except ValueError as error:
            raise ValueError(f"{path} is not valid TOML: {error}") from None
        try:
            # through JSON: its validation takes lists for tuples and is strict otherwise
            recipe = cls.model_validate_json(json.dumps(fields, default=str))  # str: TOML's dates
            recipe.config(mean=(0.0,) * len(recipe.data.channels), std=(1.0,) * len(recipe.data.channels))
        except ValidationError as error:
            raise ValueError(f"{path}: {explain(error, cls)}") from None
        stride = 2 ** (len(recipe.model.widths) - 1)
        if recipe.train.crop % stride:
            raise ValueError(f"{path}: crop is {recipe.train.crop}, expected a multiple of {stride} for these widths")
        if recipe.augment.background_crop and recipe.data.background is None:
            raise ValueError(f"{path}: background_crop needs a background, and [data] names none; leave it out")
        return recipe

    def config(self, mean: tuple[float, ...], std: tuple[float, ...]) -> SegmentationConfig:
        """The config of the checkpoint that this recipe trains, uncalibrated."""
        data = self.data
        labels = len(data.classes) + (data.background is not None)
        exclusive = data.task == "multiclass"
        return SegmentationConfig(
            task=data.task,
            classes=data.classes,
            background=data.background,
            palette=data.palette,
            channels=data.channels,
            mean=mean,
            std=std,
            value_range=data.value_range,
            window=data.window,
            orientation=data.orientation,
            working_size=self.model.working_size,
            widths=self.model.widths,
            temperatures=(1.0,) * (1 if exclusive else len(data.classes)),
            thresholds=(0.5,) * (labels if exclusive else len(data.classes)),
        )
