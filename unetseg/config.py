"""What a checkpoint says about itself: `config.json` as a validated, frozen model. Imports no torch."""

from __future__ import annotations

import difflib
import json
import math
import re
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .files import one_line, read_json

IGNORE = 255
"""The label id that no loss and no score ever sees."""
FORMAT = 2
"""The highest of `config.json`; format n came with unetseg 0.n.0."""
SINCE = {"ground_resolution": 2, "picture_rule": 2, "picture_temperature": 2}
"""Fields that a lower format has not."""
MOST_PARAMETERS = 100_000_000
"""A config that asks for more is refused: it may come from anybody."""
VARIANCE = "running_var"
STATISTICS = ("running_mean", VARIANCE)
"""What a batch norm keeps beside its weights, and no step of an optimizer changes."""

Task = Literal["binary", "multiclass", "one-vs-rest"]
PictureRule = Literal["mean"]
Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Color = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]


class SegmentationConfig(BaseModel):
    """Everything needed to use the weights beside it, and nothing about who runs them.

    task: `multiclass` has one softmax channel per label; `binary` and `one-vs-rest` have one sigmoid
        channel per class.
    classes: their names. background: the name of label 0 where there is one, else None.
    palette: one `#rrggbb` per label, background first.
    channels: what the input channels are; `("gray",)` and `("red", "green", "blue")` convert into each other.
    mean, std: per channel, of pictures scaled to 0..1.
    value_range: (low, high) per channel that 0..1 stands for; None is the range of the stored type.
    window: (low, high) in Hounsfield units; used for images in Hounsfield units only.
    orientation: how slices lie; LPS has the patient's left at the image's right, posterior down.
    working_size: the longer side in pixels that the network sees; None is the stored resolution, tiled.
    working_scale: without a working_size, what the stored resolution is reduced to: 0.5 is half the pixels a side.
    scales: multiples of that resolution at which the network sees a picture; its logits are averaged.
    ground_resolution: metres on the ground of a pixel, from and to, in training; None where that is unknown.
    picture_rule: how the label of a whole picture follows from the logits of its pixels, see `task.picture_logits`;
        None where it has none. picture_temperature: divides what that rule gives.
    widths: channels at each depth of the U-Net.
    temperatures: divide the logits; one per class, a single one for multiclass.
    thresholds: on the probability, one per output channel; where the labels are the argmax (multiclass, and
        one-vs-rest without a background) they serve the thresholded view only.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    format: Literal[1, 2] = 1
    task: Task
    classes: tuple[str, ...] = Field(min_length=1, max_length=254)
    background: str | None
    palette: tuple[Color, ...]
    channels: tuple[str, ...] = Field(min_length=1, max_length=64)
    mean: tuple[float, ...]
    std: tuple[Positive, ...]
    value_range: tuple[tuple[float, float], ...] | None = None
    window: tuple[float, float] | None = None
    orientation: Literal["LPS"] | None = None
    working_size: Annotated[int, Field(ge=16, le=8192)] | None = None
    working_scale: Annotated[float, Field(ge=0.01, le=1)] = 1.0
    scales: tuple[Annotated[float, Field(ge=0.1, le=2)], ...] = Field((1.0,), min_length=1, max_length=4)
    ground_resolution: tuple[Positive, Positive] | None = None
    picture_rule: PictureRule | None = None
    picture_temperature: Positive | None = None
    widths: tuple[Annotated[int, Field(ge=1, le=1024)], ...] = Field(min_length=2, max_length=7)
    temperatures: tuple[Positive, ...]
    thresholds: tuple[Probability, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The name of every label id, in order of id."""
        return self.classes if self.background is None else (self.background, *self.classes)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The name of every output channel of the network, in order."""
        return self.labels if self.exclusive else self.classes

    @property
    def resolution(self) -> str:
        """The resolution that a picture is brought to, in words."""
        if self.working_size is not None:
            return f"{self.working_size} pixels on the longer side"
        return "its own resolution" if self.working_scale == 1 else f"{self.working_scale:g} of its own resolution"

    @property
    def resolutions(self) -> str:
        """All resolutions at which the network sees a picture, in words."""
        times = " and ".join(f"{scale:g}" for scale in self.scales)
        return self.resolution + ("" if self.scales == (1,) else f", times {times} (logits averaged)")

    @property
    def stride(self) -> int:
        """Height and width of what the network sees are multiples of this many pixels."""
        return int(2 ** (len(self.widths) - 1))

    @property
    def weights(self) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor of the network, by its name in `model.safetensors`; () is a batch norm's count."""
        shapes: dict[str, tuple[int, ...]] = {}

        def double_convolution(name: str, inputs: int, outputs: int) -> None:
            for convolution, norm, width in ((0, 1, inputs), (3, 4, outputs)):
                shapes[f"{name}.{convolution}.weight"] = (outputs, width, 3, 3)
                shapes.update({f"{name}.{norm}.{part}": (outputs,) for part in ("weight", "bias", *STATISTICS)})
                shapes[f"{name}.{norm}.num_batches_tracked"] = ()

        for depth, (inputs, outputs) in enumerate(pairwise((len(self.channels), *self.widths))):
            double_convolution(f"contracting.{depth}", inputs, outputs)
        for step, (inputs, outputs) in enumerate(pairwise(reversed(self.widths))):
            shapes[f"upsampling.{step}.weight"] = (inputs, outputs, 2, 2)
            shapes[f"upsampling.{step}.bias"] = (outputs,)
            double_convolution(f"expanding.{step}", 2 * outputs, outputs)
        shapes["head.weight"] = (len(self.outputs), self.widths[0], 1, 1)
        shapes["head.bias"] = (len(self.outputs),)
        return shapes

    @property
    def parameters(self) -> int:
        """How many numbers training changes: the weights of convolutions and batch norms."""
        trained = {name: shape for name, shape in self.weights.items() if shape and not name.endswith(STATISTICS)}
        return sum(map(math.prod, trained.values()))

    @property
    def exclusive(self) -> bool:
        """Whether the channels compete in one softmax (else each has its own sigmoid)."""
        return self.task == "multiclass"

    @model_validator(mode="after")
    def _consistent(self) -> SegmentationConfig:
        if self.task == "binary" and (len(self.classes) != 1 or self.background is None):
            raise ValueError(
                f"a binary task has exactly one class and a background, got classes {list(self.classes)} "
                f"and background {self.background!r}; use multiclass or one-vs-rest for more"
            )
        if self.task == "multiclass" and len(self.labels) < 2:
            raise ValueError("a multiclass task needs at least two labels; one class is a binary task")
        if self.task == "one-vs-rest" and len(self.labels) < 2:
            raise ValueError("one class without a background leaves nothing to decide; name the background")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"label names must differ, got {list(self.labels)}")
        temperatures = 1 if self.exclusive else len(self.classes)
        ranges = self.value_range
        for name, got, expected, what in (
            ("palette", len(self.palette), len(self.labels), "label"),
            ("mean", len(self.mean), len(self.channels), "channel"),
            ("std", len(self.std), len(self.channels), "channel"),
            ("temperatures", len(self.temperatures), temperatures, "softmax or sigmoid"),
            ("thresholds", len(self.thresholds), len(self.outputs), "output channel"),
            ("value_range", len(self.channels if ranges is None else ranges), len(self.channels), "channel"),
        ):
            if got != expected:
                raise ValueError(f"{name} needs one entry per {what}: expected {expected}, got {got}")
        if self.working_size is not None and self.working_scale != 1:
            raise ValueError(
                f"working_size {self.working_size} and working_scale {self.working_scale:g} both say what the network "
                "sees; leave one of them out"
            )
        if self.parameters > MOST_PARAMETERS:
            raise ValueError(
                f"widths {list(self.widths)} make a network of {self.parameters:,} parameters, "
                f"expected at most {MOST_PARAMETERS:,}"
            )
        for name, since in SINCE.items():
            if self.format < since and getattr(self, name) is not None:
                raise ValueError(f"{name} came with format {since}, got format {self.format}")
        if self.ground_resolution is not None and self.ground_resolution[0] > self.ground_resolution[1]:
            raise ValueError(f"ground_resolution goes from low to high, got {list(self.ground_resolution)}")
        if (self.picture_rule is None) != (self.picture_temperature is None):
            raise ValueError("picture_rule and picture_temperature go together; give both or neither")
        if self.picture_rule is not None and (not self.exclusive or len(self.classes) < 2):
            raise ValueError("picture_rule needs a multiclass task of at least two classes beside the background")
        for low, high in [*(ranges or ()), *([self.window] if self.window else [])]:
            if not low < high:
                raise ValueError(f"a range goes from low to high, got [{low}, {high}]")
        return self

    def to_json(self) -> str:
        """The text of `config.json`."""
        # one field a line, short enough to read at a glance
        fields = {name: value for name, value in json.loads(self.model_dump_json()).items() if self._has(name)}
        lines = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in fields.items())
        return "{\n" + lines + "\n}\n"

    def _has(self, name: str) -> bool:
        return SINCE.get(name, 1) <= self.format

    @classmethod
    def from_file(cls, path: Path) -> SegmentationConfig:
        """Read `config.json` strictly: every field present, none unknown.

        Raises ValueError with one sentence that names the file and the field.
        """
        fields = read_json(path)
        if not isinstance(fields, dict):
            raise ValueError(f"{path} holds a {type(fields).__name__}, expected a JSON object of fields")
        if type(number := fields.get("format")) is int and number > FORMAT:
            raise ValueError(
                f"{path} has format {number}, this unetseg reads formats up to {FORMAT}; "
                f"install unetseg 0.{number}.0 or newer"
            )
        format_ = number if type(number) is int else 1
        known = {name for name in cls.model_fields if SINCE.get(name, 1) <= format_}
        unknown, missing = set(fields) - known, known - set(fields)
        if newer := sorted(unknown & SINCE.keys()):
            raise ValueError(f"{path}: {newer[0]} came with format {SINCE[newer[0]]}, got format {format_}")
        if missing and not unknown:
            raise ValueError(f"{path} lacks {', '.join(sorted(missing))}; every field of the format must be there")
        try:
            return cls.model_validate_json(json.dumps(fields))
        except ValidationError as error:
            raise ValueError(f"{path}: {explain(error, cls)}") from None
        except RecursionError:
            raise ValueError(f"{path} is nested too deep for a config; get or save it again") from None


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The first problem of a validation as one sentence: where, what was wrong, what came, what may be meant."""
    first = next((e for e in error.errors() if e["type"] == "extra_forbidden"), error.errors()[0])
    where = one_line(".".join(str(part) for part in first["loc"]))
    if first["type"] == "extra_forbidden":
        known = _field_names(model, first["loc"][:-1])
        close = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
        meant = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
        return f"unknown field {where!r}; {meant}"
    if first["type"] == "missing":
        return f"field {where!r} is missing"
    message = one_line(re.sub(r"^Value error, ", "", first["msg"]), 400)
    if not where:
        return message
    # of a check across fields the whole section came
    came = "" if isinstance(first["input"], dict) else f", got {one_line(repr(first['input']))}"
    return f"field {where!r}: {message[0].lower()}{message[1:]}{came}"


def _field_names(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    for part in path:
        annotation = model.model_fields[str(part)].annotation if str(part) in model.model_fields else None
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    return list(model.model_fields)


def hex_to_rgb(color: str) -> tuple[int, int, int]:
    """`#rrggbb` as three numbers 0..255."""
    red, green, blue = (int(color[a:b], 16) for a, b in pairwise((1, 3, 5, 7)))
    return red, green, blue
