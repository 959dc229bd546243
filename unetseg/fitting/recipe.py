"""What a training run is told: a TOML file, strict, every field documented here."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..config import Color, PictureRule, Probability, SegmentationConfig, Task, explain
from ..files import one_line
from ..formats.annotations import Kind, Overlap
from ..hub.model_card import License
from ..samples import SAMPLE_LABELS, SampleKind

MOST_BYTES = 10_000_000
DEEP = re.compile(r"""(?<![\w"'-])(["'\w-]++\s*+\.\s*+){20}""")
"""A name of twenty dotted parts, which no recipe has: tomllib takes memory by the square of their number."""
MOST = 1_000_000
"""Of epochs and of what else is counted."""
IGNORE_NAME = "ignore"
NAME, SPLIT_PLACE, FOLDER_PLACE = "{name}", "{split}", "{folder}"
CLASS_PLACE, CHANNEL_PLACE = "{class}", "{channel}"
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
FileName = Annotated[str, Field(pattern=r"^([^/\\{}]|\{(name|split|class|channel)\})+$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Data(_Section):
    """`[data]`: what the folder holds and what it means.

    task: binary (one sigmoid), multiclass (one softmax over all labels) or one-vs-rest (a sigmoid per class).
    classes: their names in the order of the channels. background: the name of what is none of them, label 0.
    palette: a colour for each label, the background's first. channels: of the images, `["gray"]` for one.
    value_range: (low, high) of the stored numbers for each channel; that of the file's type unless given.
    window, orientation: Hounsfield units that are black and white, and how slices lie; of pictures, which come with a
        window applied, they only tell the reader of the checkpoint.
    ground_resolution: metres on the ground of a pixel, from and to, where that is known; a GeoTIFF of another
        resolution is then not taken for one of these.
    images, masks: folders inside the data folder, `.` being itself; a mask has the name of its image, the ending
        may differ. A volume is one image: a file, or a folder of DICOM slices. With split_folders, `{split}` in both
        stands for the name of one of those. `{folder}` in both stands for every folder there (one per patient, say):
        `{folder}/images` and `{folder}/masks`; the stem of a picture then begins with that folder, `patient7/slice3`.
        `{folder}/{folder}` stands for the folders of a deeper level. In a longer name it repeats the one before it:
        `{folder}/{folder}_image` and `{folder}/{folder}_lesion`. In masks alone, `parts/{folder}`, it stands for
        folders that together hold the masks.
    image_name, mask_name: how the files of images and masks are called, without ending, where more than `{name}`, the
        name they share: `{name}_mask` pairs a.jpg with a_mask.png. Both may then lie in one folder. `{split}` stands
        for the same as in folders. Without `{name}` a picture is the one of its `{folder}`, and is called as that:
        `image` and `mask`. With a list of image_name, `["{name}_0000", "{name}_0001"]`, an image is several files,
        whose channels follow each other as `channels` names them. `{channel}` in images or image_name stands for each
        of `channels` in turn, where a file holds one of them: `train_{channel}` and `{channel}_{name}`. With a `*` in
        mask_name, `{name}_mask*`, a mask is all files that fit, as where each shows one object; where they overlap the
        larger number counts.
    class_masks: what `{class}` stands for in masks or mask_name, where each file shows one class: with masks =
        "masks/{class}" and `["cat", "dog"]`, what isn't 0 (black) in masks/cat counts as 1 in mask_values, in
        masks/dog as 2, and the rest as 0; where two overlap the one that shows less counts, and a missing file shows
        nothing.
    split_folders: what `{split}` stands for in train, and in val and test if there are such folders:
        `{ train = "training", val = "valid" }` with images = "{split}/images" or "images/{split}".
    mask_split_folders: the same for masks and mask_name, where these call the splits otherwise: images in
        images/Train, masks in masks/train.
    split_lists: text files inside the data folder that list the pictures of train, val and test, a line each, by name,
        file or path: `{ train = "ImageSets/Segmentation/train.txt", val = "ImageSets/Segmentation/val.txt" }`. Pictures
        in none of them are left out.
    annotations: what annotation tools export, in the place of masks: `coco` (Roboflow's too), `labelme`, `cvat` (XML
        for images), `labelstudio`, `yolo` (outlines), `voc` (polygons), `supervisely`, or `geojson` and `geopackage`
        over GeoTIFFs. `masks` is then the file or the folder of them, say `annotations/{split}.json`; `{split}` need
        not stand in both, and `{folder}` only in images. A picture is found by the name that its annotation states.
    annotation_labels: what each label of the annotations means: the name of a class, of the background, or "ignore":
        `{ cat = "cat", kitten = "cat", unsure = "ignore" }`. A label that is not named is an error. Where there is no
        object there is background, and without one it is ignored.
    overlap: where annotated objects overlap, the "later" in the file or the "smaller" one is seen. By default the
        later where the tool draws it on top (labelme, cvat by z_order, labelstudio, supervisely), else the smaller.
    unannotated: of pictures that no annotation mentions: "background" if they show none of the classes, "leave out"
        if nobody looked at them; of pictures without a mask "leave out". They are an error unless this says so.
    label_by: the property of GeoJSON and GeoPackage that names the class, where that isn't plain.
    mask_values: what each value of a mask file means: a number (`255`, `-1`), a range (`128-255`) or a colour
        (`#3c1098`) to the name of a class, of the background, or "ignore". A value that is not named is an error.
    manifest: a CSV inside the data folder with a column `stem`; only the pictures it lists are used.
    group_column, split_column: columns of the manifest with the group (patient, tile) and train, val or test.
    group_pattern: without a group column, a regular expression on the stem whose first bracket is the group;
        without both, every picture is its own group.
    same_group: groups that must not be parted either, `[["tile1", "tile3"]]`, because they show the same ground or the
        same person; the group is then called `tile1+tile3`, of more than four groups `tile1+tile2+tile3+tile4+9 more`.
    val, test: without a split column or a folder of that split, the names of the groups to hold out, or the share
        of the groups. Without groups for val all are trained on, and `--folds` must say how good that is.
    fold_groups: the groups that `--folds` holds out in turn, where no training could do without the others; all that
        are not for testing unless given.
    """

    task: Task
    classes: tuple[str, ...]
    background: str | None = None
    palette: tuple[Color, ...]
    channels: tuple[str, ...] = ("red", "green", "blue")
    value_range: tuple[tuple[float, float], ...] | None = None
    window: tuple[float, float] | None = None
    orientation: Literal["LPS"] | None = None
    ground_resolution: tuple[float, float] | None = None
    images: str = "images"
    masks: str = "masks"
    image_name: FileName | Annotated[tuple[FileName, ...], Field(min_length=2)] = NAME
    mask_name: FileName = NAME
    class_masks: tuple[str, ...] = ()
    split_folders: dict[Split, str] | None = None
    mask_split_folders: dict[Split, str] | None = None
    split_lists: dict[Split, str] | None = None
    annotations: Kind | None = None
    annotation_labels: dict[str, str] = Field(default_factory=dict, max_length=254)
    overlap: Overlap | None = None
    unannotated: Literal["background", "leave out"] | None = None
    label_by: str | None = None
    mask_values: dict[Annotated[str, Field(pattern=r"^(\d+(-\d+)?|-1|#[0-9a-fA-F]{6})$")], str] = Field(
        default_factory=dict
    )
    manifest: str | None = None
    group_column: str | None = None
    split_column: str | None = None
    group_pattern: str | None = None
    same_group: tuple[tuple[str, ...], ...] = ()
    val: tuple[str, ...] | Probability = 0.2
    test: tuple[str, ...] | Probability = 0.0
    fold_groups: tuple[str, ...] = ()

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

    @field_validator("val", "test", mode="before")
    @classmethod
    def _share_or_groups(cls, wanted: object) -> object:
        if not isinstance(wanted, list | tuple) and not (isinstance(wanted, float | int) and 0 <= wanted <= 1):
            raise ValueError('it is a share from 0 to 1 or a list of groups, 0.2 or ["one", "other"]')
        return tuple(wanted) if isinstance(wanted, list) else wanted

    @field_validator("same_group")
    @classmethod
    def _same_groups_are_apart(cls, same: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
        names = [name for names in same for name in names]
        if twice := sorted(name for name in set(names) if names.count(name) > 1):
            raise ValueError(f"it names {twice[0]!r} twice; put all that belong together into one list")
        return same

    @model_validator(mode="after")
    def _folders_fit(self) -> Data:
        placed = [SPLIT_PLACE in folder for folder in (self.images, self.masks)]
        enough = any(placed) if self.annotations is not None else all(placed)
        if (self.split_folders is not None) != enough or (any(placed) and not enough):
            raise ValueError("images, masks and split_folders go together: {split} in both says where the folders go")
        if self.annotations is not None and FOLDER_PLACE in self.masks:
            raise ValueError("masks has no {folder} with annotations: they are read however deep they lie")
        both = (self.images, self.masks)
        parts = [[part for part in PurePath(folder).parts if FOLDER_PLACE in part] for folder in both]
        places = [part.count(FOLDER_PLACE) for part in parts]
        if (
            self.annotations is None
            and (FOLDER_PLACE in self.images or not places[1])
            and FOLDER_PLACE in self.images + self.masks
            and (places[0] != places[1] or not places[0])
        ):
            raise ValueError("{folder} stands for one whole folder name in images, and for the same in masks")
        if any(part[:1] not in ([], [FOLDER_PLACE]) for part in parts):
            raise ValueError("{folder} in a longer name repeats a folder above it, which {folder} alone stands for")
        if self.split_folders is not None:
            if "train" not in self.split_folders:
                raise ValueError("split_folders names no folder for train")
            if len(set(self.split_folders.values())) < len(self.split_folders):
                raise ValueError("split_folders names one folder twice; each split has its own")
            if self.split_column is not None:
                raise ValueError("split_folders and split_column both say what is trained on; keep one of them")
        if self.mask_split_folders is not None and self.mask_split_folders.keys() != (self.split_folders or {}).keys():
            raise ValueError("mask_split_folders names a folder of masks for each split of split_folders")
        if self.split_lists is not None:
            if "train" not in self.split_lists:
                raise ValueError("split_lists names no list for train")
            if self.split_folders is not None or self.split_column is not None:
                raise ValueError("split_lists, split_folders and split_column all say what is trained on; keep one")
        return self

    @model_validator(mode="after")
    def _names_fit(self) -> Data:
        if self.annotations is not None:
            if (self.image_name, self.mask_name, self.class_masks) != (NAME, NAME, ()):
                raise ValueError("image_name, mask_name and class_masks are for masks; annotations name their pictures")
            return self
        image_names = (self.image_name,) if isinstance(self.image_name, str) else self.image_name
        if PurePath(self.images) == PurePath(self.masks) and self.mask_name in image_names:
            raise ValueError("images and masks lie in one folder; say with mask_name how mask files are called")
        names = (*image_names, self.mask_name)
        if any(name.count(NAME) > 1 or name.partition(NAME)[0].count("*") * (NAME in name) for name in names):
            raise ValueError("image_name and mask_name hold {name} once, and `*` only behind it")
        if any(NAME not in name for name in names) and FOLDER_PLACE not in self.images:
            raise ValueError("image_name or mask_name without {name} needs a {folder} of its own for each picture")
        if any("*" in name or CLASS_PLACE in name for name in image_names) or CLASS_PLACE in self.images:
            raise ValueError("`*` and {class} stand in mask_name, not in images")
        if any(CHANNEL_PLACE in name for name in (self.images, *image_names)) and (
            len(image_names) > 1 or len(self.channels) < 2
        ):
            raise ValueError("{channel} stands for each of several channels, in images and in one image_name")
        if CHANNEL_PLACE in self.masks + self.mask_name:
            raise ValueError("{channel} stands in images and image_name, not in masks")
        if len(set(image_names)) < len(image_names):
            raise ValueError("image_name lists one name twice; each file of an image is called otherwise")
        if (CLASS_PLACE in self.masks + self.mask_name) != bool(self.class_masks):
            raise ValueError("class_masks says what {class} stands for in masks or mask_name; they go together")
        if any(SPLIT_PLACE in name for name in names) and self.split_folders is None:
            raise ValueError("{split} in image_name or mask_name stands for what split_folders names")
        return self

    @model_validator(mode="after")
    def _ranges_fit(self) -> Data:
        ranges = sorted((*number_range(key), key) for key in self.mask_values if not key.startswith("#"))
        for low, high, key in ranges:
            if low > high:
                raise ValueError(f"mask_values names the range {key!r}, which goes from low to high")
        for (_, high, one), (low, _, other) in pairwise(ranges):
            if low <= high:
                raise ValueError(f"mask_values names a number twice, by {one!r} and by {other!r}")
        return self

    @model_validator(mode="after")
    def _mask_values_fit(self) -> Data:
        labels = self.classes if self.background is None else (self.background, *self.classes)
        meanings = {"mask_values": self.mask_values, "annotation_labels": self.annotation_labels}
        used, other = meanings if self.annotations is None else reversed(meanings)
        if not meanings[used] or meanings[other]:
            raise ValueError(
                f"{used} says what {'labels of annotations' if self.annotations else 'values of masks'} mean; "
                f"it is needed here, and {other} is not"
            )
        for value, name in meanings[used].items():
            if name not in (*labels, IGNORE_NAME):
                raise ValueError(f"{used} gives {value!r} the name {name!r}, expected one of {list(labels)} or ignore")
        if len({value.startswith("#") for value in self.mask_values}) > 1:
            raise ValueError("mask_values mixes numbers and colours; a mask holds one or the other")
        missing = set(labels) - set(meanings[used].values())
        if self.annotations is not None:
            missing -= {self.background}  # where no object is
        if missing:
            raise ValueError(f"{used} names no value for {sorted(missing)}; every label needs one")
        if self.annotations is None and (self.overlap or self.unannotated == "background" or self.label_by):
            raise ValueError(
                'overlap, label_by and unannotated = "background" are for annotations; say which tool\'s they are'
            )
        if (self.group_column or self.split_column) and self.manifest is None:
            raise ValueError("group_column and split_column are columns of a manifest; name it with manifest")
        return self


def number_range(key: str) -> tuple[int, int]:
    """The first and the last number that a key of `mask_values` names; -1, a usual void, is the only negative one."""
    low, _, high = key.partition("-")
    return (int(low), int(high or low)) if low else (int(key), int(key))


class Model(_Section):
    """`[model]`: the network, and the size it works at.

    working_size: the longer side of a picture is resized to so many pixels; without it, pictures keep their size.
    working_scale: without a working_size, pictures are reduced to this share of their resolution.
    scales: multiples of that resolution at which the network sees a picture; the logits are averaged, and the steps
        of training take the scales in turn.
    picture_rule: where every picture shows one class, how its label follows from those of its pixels: the `mean` of
        their logits over the foreground; see `task.picture_logits`.
    widths: channels of the network at each resolution, from the finest on; the next is half as fine.
    """

    working_size: int | None = None
    working_scale: float = 1.0
    scales: tuple[float, ...] = (1.0,)
    picture_rule: PictureRule | None = None
    widths: tuple[int, ...] = (16, 32, 64, 128, 256)


class Augment(_Section):
    """`[augment]`: random changes to training pictures; what is left out is not done.

    flip: which ways a picture may be mirrored. rotate: at most so many degrees either way.
    scale: zoom between 1 / scale and scale. aspect: a square becomes 1 / aspect to aspect times as wide as high.
    elastic: points of a coarse grid are moved by at most this share of the crop, and what lies between goes along.
    translate: shift by at most this share of the crop.
    narrow_window: at most this share of the grey range is cut from black, and as much from white; mostly less.
    wide_window: for so large a share of the crops, the grey range is squeezed as by a wider window, up to the full
        range of a CT scanner; what the picture's own window had cut off gets a tone of its own beyond.
    curve: half of the crops have their values changed by a random rising curve of six straight pieces; this is the
        standard deviation of the logarithms of their slopes.
    gamma, contrast: factors between 1 / x and x. brightness: at most so much is added to values 0..1.
    color: a factor for each channel between 1 / x and x. saturation: a factor for the distance from grey, likewise.
    haze: mixes in at most this share of light grey.
    noise: at most this standard deviation of Gaussian noise, for half of the crops. blur: likewise of a Gaussian blur
        in pixels, for three in ten.
    background_crop: for so large a share of the crops, a window of the picture without a pixel of any class is
        looked for and enlarged, so that the network meets pictures that show nothing to be found.
    """

    flip: tuple[Literal["horizontal", "vertical"], ...] = ()
    rotate: float = Field(0, ge=0, le=180)
    scale: float = Field(1, ge=1, le=4)
    aspect: float = Field(1, ge=1, le=2)
    elastic: float = Field(0, ge=0, le=0.1)
    translate: float = Field(0, ge=0, le=0.5)
    narrow_window: float = Field(0, ge=0, le=0.5)
    wide_window: Probability = 0
    curve: float = Field(0, ge=0, le=1)
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

    epochs: passes over the data; a pass draws as many crops of a large picture as would cover it.
    coarse_epochs: so many of them, the first, see the same crops at half the resolution, in a quarter of the time.
    crop: side in pixels of what the network trains on. batch_size: crops per step, over all processes.
    optimizer: `adamw`, or `muon`, which makes the steps of all inner convolutions orthogonal: a step takes a little
        longer and teaches far more.
    learning_rate: its peak, after `warmup_epochs` (half of all at most) of linear rise, then falling as a
        cosine to 0.
    weight_decay: the optimizer's. clip_norm: gradients are shortened to this norm at most.
    patience: stop after so many validations without a better one; 0 trains to the end.
    balance: how far the cross entropy weighs rare classes up: 0 not at all, 1 until all weigh the same.
    dice_weight: how much soft Dice is added to the cross entropy (0 is cross entropy alone).
    batch_dice: soft Dice pools the crops of a batch; false: each counts alone, which weighs small objects more.
    picture_weight: how much the cross entropy of the pictures' labels is added, where there is a picture_rule.
    ema: decay per step of the moving average of weights that is validated and saved; 0 is none.
    swa: from this share of all steps on, the plain mean of each step's weights is validated and saved instead, and
        the learning rate never falls; 0 is none. For pictures of places that training does not know.
    keep: the checkpoint with the best mean group Dice on validation, or the last, as always without validation.
    calibrate: fit temperatures and thresholds on validation; false keeps 1 and 0.5, where validation is so unlike
        the rest that a fit would mislead. What `--folds` holds out is always fitted on.
    validate_every: in epochs. synthetic: generated pictures mixed in, as many as `synthetic_share` of the real
        ones: `ct` (background, liver) or `aerial` (building, land, road, vegetation, water), for a recipe with just
        these labels; of crops their share is smaller where the real ones are larger, for each picture gives crops
        by its area. workers: processes that load data; 0 loads in the main one.
    cache_gb: pictures are kept in memory up to this many gigabytes, and read again beyond; slices of volumes lie in a
        temporary file beyond.
    save_minutes: the state of the run is saved at least so often, beside the end of each epoch.
    seed: of the first weights, the order of the pictures, their augmentation and a split by shares.
    """

    epochs: int = Field(50, ge=1, le=MOST)
    coarse_epochs: int = Field(0, ge=0, le=MOST)
    batch_size: int = Field(8, ge=1, le=MOST)
    crop: int = Field(256, ge=16, le=8192)
    optimizer: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = Field(1e-3, gt=0, le=1e30)
    weight_decay: float = Field(1e-2, ge=0, le=1e6)
    warmup_epochs: float = Field(1, ge=0)
    patience: int = Field(0, ge=0, le=MOST)
    balance: Probability = 0
    dice_weight: float = Field(1, ge=0)
    batch_dice: bool = True
    picture_weight: float = Field(1, ge=0)
    ema: float = Field(0.995, ge=0, lt=1)
    swa: float = Field(0, ge=0, lt=1)
    clip_norm: float = Field(1, gt=0)
    keep: Literal["best", "last"] = "best"
    calibrate: bool = True
    validate_every: int = Field(1, ge=1, le=MOST)
    synthetic: SampleKind | None = None
    synthetic_share: float = Field(0, ge=0)
    workers: int = Field(0, ge=0, le=1024)
    cache_gb: float = Field(4, ge=0)
    save_minutes: float = Field(5, gt=0)
    seed: int = Field(0, ge=0, lt=2**63)


class Card(_Section):
    """`[card]`: what the model card says beyond what the run measures.

    title, summary: its heading and the first lines under it, as Markdown.
    license: of the weights, an identifier of the hub. data: where the pictures come from, as Markdown.
    datasets: names of the data sets, for the front matter. limits: where the model fails, as Markdown.
    tags: of the model on the hub, beside the general ones.
    earlier_test_looks: how often the test split was scored on the way to this recipe, before this run.
    """

    title: str
    summary: str
    license: License
    data: str
    limits: str
    tags: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    earlier_test_looks: int = Field(0, ge=0)


class Recipe(_Section):
    """A training run: `[data]`, `[model]`, `[augment]`, `[train]` and, to publish, `[card]`."""

    data: Data
    model: Model = Model()
    augment: Augment = Augment()
    train: Train = Train()
    card: Card | None = None

    @classmethod
    def sections(cls) -> dict[str, type[BaseModel]]:
        """The tables of a recipe by name, as they are documented and checked."""
        return {"data": Data, "model": Model, "augment": Augment, "train": Train, "card": Card}

    @classmethod
    def from_file(cls, path: Path, changes: Mapping[str, str] | None = None) -> Recipe:
        """Read a TOML file; ValueError in one sentence names the file and the field.

        changes: values that replace those of the file, as TOML or, for a text, without quotes: `train.epochs` to `3`.
        """
        try:
            if (size := path.stat().st_size) > MOST_BYTES:
                raise ValueError(f"it has {size:,} bytes, expected at most {MOST_BYTES:,}")
            fields = _parsed(path.read_text(encoding="utf-8-sig"))  # Windows marks its UTF-8
        except OSError as error:
            raise ValueError(f"{path} can't be read: {error.strerror}; give the path of a recipe (.toml)") from None
        except ValueError as error:
            raise ValueError(f"{path} is not valid TOML: {one_line(error)}") from None
        source = str(path)
        for name, value in (changes or {}).items():
            section, field = name.split(".")
            source += f" with --{name} {value}"
            if isinstance(table := fields.setdefault(section, {}), dict):  # what is no table is told below
                table[field] = _toml_value(value)
        try:
            # through JSON: its validation takes lists for tuples and is strict otherwise
            recipe = cls.model_validate_json(json.dumps(fields, default=str))  # str: TOML's dates
            config = recipe.config(mean=(0.0,) * len(recipe.data.channels), std=(1.0,) * len(recipe.data.channels))
        except ValidationError as error:
            raise ValueError(f"{source}: {explain(error, cls)}") from None
        if recipe.train.coarse_epochs >= recipe.train.epochs:
            raise ValueError(
                f"{source}: coarse_epochs is {recipe.train.coarse_epochs}, expected fewer than the "
                f"{recipe.train.epochs} epochs; the last must be at full resolution"
            )
        multiple = config.stride * (2 if recipe.train.coarse_epochs else 1)
        if recipe.train.crop % multiple:
            raise ValueError(
                f"{source}: crop is {recipe.train.crop}, expected a multiple of {multiple} for these widths"
                + (" and its half in coarse_epochs" if recipe.train.coarse_epochs else "")
            )
        for scale in recipe.model.scales:
            if (side := recipe.train.crop * scale) % config.stride:
                raise ValueError(
                    f"{source}: a crop of {recipe.train.crop} at the scale {scale:g} is {side:g} pixels, expected a "
                    f"multiple of {config.stride} for these widths; take the scale "
                    f"{max(1, round(side / config.stride)) * config.stride / recipe.train.crop:g}"
                )
        if (kind := recipe.train.synthetic) and (count := len(config.labels)) != SAMPLE_LABELS[kind]:
            raise ValueError(
                f"{source}: synthetic pictures of the kind {kind!r} have {SAMPLE_LABELS[kind]} labels, "
                f"[data] names {count}; leave synthetic out"
            )
        if recipe.augment.background_crop and recipe.data.background is None:
            raise ValueError(f"{source}: background_crop needs a background, and [data] names none; leave it out")
        return recipe

    def to_toml(self) -> str:
        """The recipe as a file that trains the same again: what differs from the defaults, without the card."""
        sections = self.model_dump(mode="json", exclude_defaults=True, exclude={"card"})
        return "\n".join(
            f"[{name}]\n" + "".join(f"{field} = {toml(value)}\n" for field, value in fields.items())
            for name, fields in sections.items()
        )

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
            format=1 if data.ground_resolution is None and self.model.picture_rule is None else 2,
            ground_resolution=data.ground_resolution,
            working_size=self.model.working_size,
            working_scale=self.model.working_scale,
            scales=self.model.scales,
            picture_rule=self.model.picture_rule,
            picture_temperature=None if self.model.picture_rule is None else 1.0,
            widths=self.model.widths,
            temperatures=(1.0,) * (1 if exclusive else len(data.classes)),
            thresholds=(0.5,) * (labels if exclusive else len(data.classes)),
        )


def toml(value: object) -> str:
    """A value as TOML: it takes JSON for texts, numbers and lists, but for DEL and for halves of a character pair."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{toml(key)} = {toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return text.encode("utf-8", "replace").decode("utf-8")


def _toml_value(text: str) -> object:
    try:
        return _parsed(f"value = {text}")["value"]
    except ValueError:
        return text


def _parsed(text: str) -> dict[str, Any]:
    """What TOML says; ValueError for what is none, or nested too deep."""
    if DEEP.search(text):
        raise ValueError("a name of so many parts is nested too deep")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
