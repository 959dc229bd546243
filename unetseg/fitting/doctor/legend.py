"""Names of mask values from a file beside the pictures, and colours for labels that nobody chose any for."""

from __future__ import annotations

import colorsys
import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, count
from pathlib import Path

from ..data.layouts import Layout
from ..words import counted, some
from .findings import Finding
from .survey import ImageFacts, MaskFacts

LEGENDS = (
    "classes.json", "labels.json", "legend.json", "labelmap.txt", "_classes.csv", "class_dict.csv",
    "label_class_dict.csv", "label_colors.txt", "dataset.json", "class_names.txt", "label_names.txt", "classes.txt",
    "labels.txt", "obj.names",
)  # fmt: skip
NOTHING = {"background", "_background_", "bg", "void", "unlabeled", "none"}
TRIMAPS = (
    {"1": "foreground", "2": "background", "3": "ignore"},  # Oxford-IIIT pets
    {"0": "background", "128": "ignore", "255": "foreground"},  # alpha matting
)
# told apart by hue and by lightness; the first is the class of a binary task
COLOURS = (
    "#e4572e", "#3a86ff", "#2a9d5c", "#ffc914", "#8338ec", "#17bebb", "#ff70a6", "#8d5b3f", "#b8de29", "#5c677d",
    "#9d0208", "#0a3d91", "#90e0ef", "#f4a261", "#c77dff", "#3f6212",
)  # fmt: skip
# a map with blue land and violet water misleads
USUAL_COLOURS = {
    "water": "#3a86ff", "vegetation": "#2a9d5c", "tree": "#2a9d5c", "forest": "#2a9d5c", "grass": "#b8de29",
    "building": "#e4572e", "road": "#5c677d", "street": "#5c677d", "land": "#f4a261", "soil": "#f4a261",
}  # fmt: skip


def read_legend(
    folder: Path, layout: Layout, masks: Mapping[str, MaskFacts]
) -> tuple[str | None, dict[str, str], list[Finding]]:
    """The file that names mask values, and value (`3` or `#3c1098`) to name; None and nothing where there is none.

    JSON (a list of names, an object of value to name, a list of objects with `name`, and `id`, `hex` or `color`; or an
    object that has one of these as `classes` or, of nnU-Net, as `labels`), CVAT's labelmap.txt, the `_classes.csv` of
    Roboflow, a table or a text of colours and names, or a text of names in the order of the values. It lies beside the
    folders of masks or above them. Of several the first counts that names values that occur. Masks of one class each,
    and trimaps, name themselves.
    masks: what they hold; names of more values than occur are told.
    """
    if layout.class_masks:
        names = {"0": "background", **{str(i): name for i, name in enumerate(_plain(layout.class_masks), start=1)}}
        return "the folders or names of the masks", names, []
    values = {value for mask in masks.values() for value in mask.pixels}
    coloured = any(mask.coloured for mask in masks.values())
    keys = {f"#{value:06x}" if coloured else str(value) for value in values}
    doubtful: list[Finding] = []
    for path in _legend_files(folder, layout):
        name = path.relative_to(folder).as_posix()
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, ValueError):
            continue
        legend, fits = _legend(path.name.lower(), text, keys, coloured)
        if not legend:
            continue
        if fits:
            return name, legend, doubtful
        unnamed = sorted(keys - legend.keys())
        what = f"{name} names {counted(len(legend), 'value')}, and the masks hold {some(sorted(keys), 5)}"
        if unnamed:
            what += f", of which {some(unnamed)} without a name"
        doubtful.append(Finding("warning", what, "it is not used; name the classes in the recipe"))
    if "trimap" in layout.masks.lower() or "trimap" in layout.mask_name.lower():
        for legend in TRIMAPS:
            if keys <= legend.keys():
                border = next(value for value, what in legend.items() if what == "ignore")
                what = f"the masks are trimaps, with {border} on the border"
                advice = "the recipe ignores the border; name a class in mask_values if it is one"
                return "the kind of the masks (trimaps)", legend, [*doubtful, Finding("warning", what, advice)]
    return None, {}, doubtful


def _plain(names: Sequence[str]) -> list[str]:
    """`left`, `right` of `leftMask`, `rightMask`: what all names share at their end in a word of masks goes."""
    short = [re.sub(r"(?i)[_\-. ]*masks?$", "", name) for name in names]
    return short if all(short) and len(set(short)) == len(short) else list(names)


def _legend_files(folder: Path, layout: Layout) -> list[Path]:
    """Files that are called as legends, in the folder, in those above its masks and in those of a few pictures."""
    places = [folder]
    for place in layout.places(folder)[:3]:
        for name in (*layout.image_folders(place), *layout.mask_folders(place)):
            path = folder
            for part in Path(name).parts:
                path = path / part
                places.append(path)
    files = [
        path
        for place in dict.fromkeys(places)
        if place.is_dir()
        for path in place.iterdir()
        if path.name.lower() in LEGENDS and path.is_file()
    ]
    order = {place: number for number, place in enumerate(dict.fromkeys(places))}
    return sorted(files, key=lambda path: (LEGENDS.index(path.name.lower()), order[path.parent], path.name))


def _legend(name: str, text: str, keys: set[str], coloured: bool) -> tuple[dict[str, str], bool]:
    """Value to name by a file, and whether every value that occurs is named by it."""
    if name.endswith(".json"):
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            return {}, False
        legend = _cleaned(_entries(_inner(content)))
        return legend, True
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    if name == "labelmap.txt":  # CVAT: name:r,g,b:parts:actions
        entries = [line.split(":") for line in lines]
        legend = _cleaned((_key(parts[1], coloured), parts[0]) for parts in entries if len(parts) > 1)
        if not coloured and not keys <= legend.keys():  # in a palette file, by their order
            legend = _cleaned((number, parts[0]) for number, parts in enumerate(entries))
        return legend, keys - {"255"} <= legend.keys()
    if name == "label_colors.txt":  # CamVid: r g b name
        parted = (line.split(maxsplit=3) for line in lines)
        legend = _cleaned((_key(",".join(p[:3]), coloured), p[3]) for p in parted if len(p) > 3)
        return legend, keys <= legend.keys()
    if name.endswith(".csv"):
        rows = list(csv.reader(lines))
        legend = _cleaned((row[0].strip(), row[1]) for row in rows if len(row) > 1 and row[0].strip().isdigit())
        colours = ((_key(",".join(row[1:4]), coloured), row[0]) for row in rows if len(row) > 3)
        legend |= _cleaned((key, title) for key, title in colours if key is not None)
        return legend, keys - {"255"} <= legend.keys()
    if coloured:
        return {}, False
    numbered = [re.fullmatch(r"(\d+)\s*[:;,=\t ]\s*(\S.*)", line) for line in lines]
    if all(numbered):
        legend = _cleaned((match[1], match[2]) for match in numbered if match is not None)
        return legend, keys - {"255"} <= legend.keys()
    if lines and lines[0].lower() == "__ignore__":  # labelme's own list: its first two stand for nothing
        lines = lines[1:]
    legend = _cleaned((number, "background" if line == "_background_" else line) for number, line in enumerate(lines))
    occurring = {int(key) for key in keys - {"255"}}
    if occurring == set(range(len(legend))):
        return legend, True
    if lines and lines[0].lower() not in NOTHING and occurring == set(range(len(legend) + 1)):
        return {"0": "background", **{str(int(number) + 1): title for number, title in legend.items()}}, True
    if lines and occurring <= set(range(len(legend))) and lines[0].lower() in NOTHING:
        return legend, True
    if len(legend) == 1 and lines[0].lower() not in NOTHING and occurring == {0, 255} | occurring:
        return {"0": "background", "255": legend["0"]}, "255" in keys
    return legend, False


def _inner(content: object) -> object:
    """The part of a JSON that names values; of nnU-Net's `{"background": 0}` turned to value and name."""
    if isinstance(content, dict):
        for key in ("classes", "labels", "categories"):
            if isinstance(content.get(key), dict | list):
                content = content[key]
                break
    if isinstance(content, dict) and content and all(isinstance(value, int | list) for value in content.values()):
        return {value: name for name, value in content.items() if isinstance(value, int)}
    return content


def _entries(content: object) -> Iterator[tuple[object, object]]:
    if isinstance(content, dict):
        yield from content.items()
    elif isinstance(content, list):
        for number, entry in enumerate(content):
            if isinstance(entry, dict):
                yield from ((entry.get(key), entry.get("name")) for key in ("id", "classid", "hex"))
                yield _key(str(entry.get("color")).strip("[]()"), True), entry.get("name")
            else:
                yield number, entry


def _cleaned(entries: Iterable[tuple[object, object]]) -> dict[str, str]:
    names = {
        str(value).lower(): " ".join(text.split())
        for value, text in entries
        if isinstance(text, str) and value is not None
    }
    return {value: text for value, text in names.items() if text}


def _key(text: str, coloured: bool) -> str | None:
    """`r,g,b` as masks hold it: a colour or, of masks in grey, its level."""
    numbers = [int(part) for part in text.split(",") if part.strip().isdecimal()]
    if len(numbers) != 3 or max(numbers) > 255:
        return None
    return f"#{bytes(numbers).hex()}" if coloured else str(numbers[0]) if len(set(numbers)) == 1 else None


def joined_channels(
    folder: Path, layout: Layout, images: Mapping[str, ImageFacts]
) -> tuple[tuple[str, ...], list[Finding]]:
    """The names of channels that lie in a file each: by nnU-Net's dataset.json, else by what the files are called."""
    count = Counter(image.channels for image in images.values()).most_common(1)[0][0]
    other = [name for name, image in images.items() if image.channels != count]
    found = []
    if other:
        what = f"{counted(len(other), 'image')} with another number of channels than {count}: {some(other)}"
        found.append(Finding("question", what, "save all images alike", tuple(other)))
    names = list(layout.channels) or _channels_of(folder / "dataset.json")
    if not layout.channels and (len(names) != count or len(set(names)) < count):
        names = [template.replace("{name}", "").strip("_-. ") for template in layout.image_names]
        names = names if len(names) == count else [f"band{number + 1}" for number in range(count)]
    what = f"each image is {len(layout.image_names)} files, whose channels are joined: {some(names, 8)}"
    found.append(Finding("note", what, "a model of them predicts on arrays or files with all these channels in one"))
    return tuple(names), found


def _channels_of(path: Path) -> list[str]:
    """As nnU-Net names them in its dataset.json; none where there is no such file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        stated = content.get("channel_names") or content.get("modality") or {}
        return [" ".join(str(stated[str(number)]).split()) for number in range(len(stated))]
    except (OSError, ValueError, AttributeError, KeyError, TypeError, RecursionError):
        return []


def palette_for(names: Sequence[str], has_background: bool) -> tuple[str, ...]:
    """Colours that are told apart, black for a background; what is known by a colour gets it."""
    wanted = {USUAL_COLOURS[name.lower()]: name for name in reversed(names) if name.lower() in USUAL_COLOURS}
    usual = {name: colour for colour, name in wanted.items()}  # of two names for one colour, the first
    rest = (colour for colour in chain(COLOURS, _more()) if colour not in wanted)
    return tuple("#000000" if has_background and i == 0 else usual.get(n) or next(rest) for i, n in enumerate(names))


def _more() -> Iterator[str]:
    """Golden steps around the hues, light and dark in turns."""
    for i in count():
        parts = colorsys.hsv_to_rgb(i * 0.618 % 1, 0.55 + 0.4 * (i % 3 == 0), 0.6 + 0.35 * (i % 2))
        yield "#" + "".join(f"{round(part * 255):02x}" for part in parts)
