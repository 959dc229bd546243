"""What the page says of its models: from their papers, as data; the card as HTML that nothing can be smuggled into."""

from __future__ import annotations

import base64
import io
import logging
import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

import PIL.Image

from ..config import SegmentationConfig
from ..files import README, read_json
from ..formats.libraries import imported
from ..hub import model_card
from ..hub.download import Source, with_papers
from ..samples import SampleKind, draw_sample
from .later import Offered

log = logging.getLogger(__name__)

EXAMPLES = 3
THUMBNAIL = 112
"""Pixels a side."""
HEADLINE = ("mean_group_dice", "miou", "accuracy", "picture_accuracy")
FOLDED = re.compile(r"^<details><summary>(.*?)</summary>$(.*?)^</details>$", re.MULTILINE | re.DOTALL)
HIDDEN = re.compile(r"<!--.*?-->|!\[[^\]]*\]\([^)]*\)(?:\n\n\*[^*\n]+\*$)?", re.DOTALL | re.MULTILINE)
"""Comments, and pictures, which lie beside the card, with what stands in italics below them."""


def sample_kind(predictor: Offered) -> SampleKind | None:
    """Which generated pictures a model is shown; None where none are like what it knows."""
    config = predictor.config
    # a card is read only where something depends on it: on the hub it has to be got
    tags = [] if config.picture_rule is None else _tags(_card(_papers(predictor.source))[0])
    return _sample_kind(config, _kind(config, tags))


def facts(name: str, predictor: Offered) -> dict[str, Any]:
    """All that the page shows of a model."""
    config, source = predictor.config, predictor.source
    papers = _papers(source)
    fields, text = _card(papers)
    tags = _tags(fields)
    kind = _kind(config, tags)
    return {
        "name": name,
        "title": _title(text) or name,
        "kind": kind,
        "task": config.task,
        "outputs": list(config.outputs),
        "labels": list(config.labels),
        "palette": list(config.palette),
        "background": config.background,
        "thresholds": list(config.thresholds),
        "channels": list(config.channels),
        "curve": _curve(papers.get("calibration.json"), config),
        "scores": _scores(papers.get("scores.json")),
        "licence": str(fields["license"]) if "license" in fields else None,
        "medical": "medical" in tags or config.window is not None,
        "card": card_html(text),
        "source": predictor.model if source is None or source.commit is None else source.name,
        "commit": None if source is None else source.commit,
        "gate": predictor.gate is not None,
        "examples": _examples(_sample_kind(config, kind)),
    }


def card_html(text: str) -> str:
    """The text of a card as HTML, without its pictures; what is HTML in it is shown as text, but its folded parts."""
    parts, end = [], 0
    text = HIDDEN.sub("", text)
    for folded in FOLDED.finditer(text):
        parts.append(_markdown(text[end : folded.start()]))
        parts.append(f"<details><summary>{escape(folded[1])}</summary>{_markdown(folded[2])}</details>")
        end = folded.end()
    return "".join((*parts, _markdown(text[end:])))


def _markdown(text: str) -> str:
    markdown = imported("markdown_it", "a card as HTML", extra="demo")
    return str(markdown.MarkdownIt("commonmark", {"html": False}).enable("table").render(text))


def _papers(source: Source | None) -> Mapping[str, Any]:
    """The files beside a checkpoint by name: JSON as what it says, the README as text. Those of the hub are got."""
    if source is None:
        return {}
    if source.commit is not None:
        try:
            source = with_papers(source)
        except (OSError, ValueError) as error:
            log.warning("note: the card of %s can't be shown: %s", source.name, error)
    found: dict[str, Any] = {}
    for name in ("calibration.json", "scores.json"):
        if (source.folder / name).is_file():
            try:
                found[name] = read_json(source.folder / name)
            except ValueError as error:
                log.warning("note: %s, and is not shown", error)
    if (source.folder / README).is_file():
        found[README] = (source.folder / README).read_text(encoding="utf-8", errors="replace")
    return found


def _card(papers: Mapping[str, Any]) -> tuple[dict[str, object], str]:
    text = str(papers.get(README, ""))
    try:
        return model_card.front_matter(text), re.sub(r"\A---\n.*?\n---\n", "", text, count=1, flags=re.DOTALL)
    except ValueError:  # a README of one's own need not begin with fields
        return {}, text


def _tags(fields: Mapping[str, object]) -> list[str]:
    tags = fields.get("tags")
    return [str(tag) for tag in tags] if isinstance(tags, list) else []


def _title(text: str) -> str:
    found = re.search(r"^# +(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else ""


def _kind(config: SegmentationConfig, tags: Iterable[str]) -> str:
    if config.window is not None:
        return "ct"
    # a drawing is 28 x 28 grey pixels, which the network must see as they lie
    drawable = config.channels == ("gray",) and config.picture_rule is not None and config.working_size is None
    if drawable and "digits" in tags:
        return "digits"
    known = config.ground_resolution is not None or {"satellite", "aerial", "remote-sensing"} & {*tags}
    return "aerial" if known else "other"


def _sample_kind(config: SegmentationConfig, kind: str) -> SampleKind | None:
    if kind == "digits":
        return "digits"
    if kind == "other" and config.picture_rule is not None:
        return None  # it labels what fills a picture: a garment, an animal
    return "ct" if config.channels == ("gray",) else "aerial"


def _examples(kind: SampleKind | None) -> list[dict[str, str]]:
    """Names of generated pictures, and small copies as data URLs."""
    if kind is None:
        return []
    return [{"name": f"synthetic_{kind}_{seed}", "thumbnail": _thumbnail(kind, seed)} for seed in range(EXAMPLES)]


def _curve(calibration: object, config: SegmentationConfig) -> dict[str, list[dict[str, float | None]]]:
    """Of each output what the validation says of each threshold; nothing where no run wrote it."""
    try:
        curve = calibration["curve"]  # type: ignore[index]
        names = ("precision", "recall", "dice")
        return {
            output: [
                {"threshold": threshold} | {name: curve[output][name][i] for name in names}
                for i, threshold in enumerate(curve["thresholds"])
            ]
            for output in config.outputs
            if output in curve
        }
    except (KeyError, TypeError, IndexError):
        return {}


def _scores(scores: object) -> list[dict[str, Any]]:
    """The headline of each split: the mean Dice of groups, the mean IoU, the accuracy of pixels and, of labels of
    pictures, that of pictures; and of how many pictures."""
    if not isinstance(scores, dict):
        return []
    return [
        {"split": split, "pictures": found.get("pictures")} | {name: found.get(name) for name in HEADLINE}
        for split, found in scores.items()
        if isinstance(found, dict)
    ]


def _thumbnail(kind: SampleKind, seed: int) -> str:
    picture = PIL.Image.fromarray(draw_sample(kind, seed)[0])
    file = io.BytesIO()
    if (times := THUMBNAIL // max(picture.size)) > 1:  # its pixels stay squares
        picture.resize((times * picture.width, times * picture.height), PIL.Image.Resampling.NEAREST).save(file, "PNG")
        return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    picture = picture.convert("RGB")
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    picture.save(file, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
