"""The report of an examination as one HTML page that holds all it shows: opened from a file, mailed or printed."""

from __future__ import annotations

import base64
import hashlib
import io
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from html import escape
from pathlib import Path

import PIL.Image

from ...files import whole
from ...render import UNKNOWN
from ..data.layouts import SUFFIXES, ending, pictures_in
from ..recipe import IGNORE_NAME
from ..words import counted, percent
from .checks import named
from .contact_sheet import Files, candidate_view, chosen, concerned, pictures_of, proposed, stored_view, views
from .diagnosis import Diagnosis
from .findings import Finding
from .mask_values import Labels
from .report import MOST_QUESTIONS, facts, headline, questions_after
from .survey import MaskFacts

SIDE = 320
MOST = 60
"""So many pictures are looked through in a minute."""
FEW = 4
"""Of the pairs that a finding names so many are shown; of pictures alone, which take half the place, twice as many."""
MOST_BYTES = 7_500_000
"""Of all pictures, as the page holds them: with them it can still be mailed."""
MOST_NAMES = 500
MARK = '<meta name="generator" content="unetseg doctor">'
CSS = Path(__file__).with_name("page.css")
# a button that does nothing without a script is only there with one
SCRIPT = """
for (const button of document.querySelectorAll("button")) {
  button.hidden = false;
  button.onclick = () => {
    getSelection().selectAllChildren(document.getElementById(button.value));
    button.textContent = document.execCommand("copy") ? "Copied" : "Selected";
  };
}
"""


def check_page(path: Path) -> None:
    """ValueError where `path` is there already and is no such page: it may be somebody's own."""
    if path.exists() and MARK not in path.read_text(encoding="utf-8", errors="replace")[:1000]:
        raise ValueError(f"{path} is there already and is no report of the doctor; name another file for the report")


def write_page(diagnosis: Diagnosis, path: Path, *, train: str, again: str) -> None:
    """Write the page: verdict, questions and warnings with pictures, labels, facts, a contact sheet, notes, the recipe.

    train, again: the commands that train by the recipe, and that examine the folder once more.
    Raises ValueError where `path` is there already and is no such page.
    """
    check_page(path)
    text = _page(diagnosis, train, again)
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@dataclass(frozen=True)
class _Cell:
    """What a figure shows, and what it is called. stored: as its numbers are, whatever the recipe says."""

    name: str
    files: Files
    stored: bool = False


@dataclass(frozen=True)
class _Drawn:
    """Pictures as attributes of `img`, each with a word on what it is; and what is wrong."""

    pictures: tuple[tuple[str, str], ...]
    trouble: str | None


class _Figures:
    """Figures of files, as long as there is room for their pictures."""

    def __init__(self, diagnosis: Diagnosis, cells: Iterable[_Cell]) -> None:
        self.room = MOST_BYTES
        self.recipe, self.config = proposed(diagnosis)
        self.example_of = {example.image: example for example in diagnosis.examples}
        self.pairs = {s.pair.image: s.pair for s in diagnosis.examined}
        self.candidates = {candidate.example: candidate for candidate in diagnosis.candidates}
        different = list(dict.fromkeys((cell.files, cell.stored) for cell in cells))
        # decoding runs outside the interpreter's lock; more threads would hold more pictures at once
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            self.drawn = dict(zip(different, pool.map(self._drawn, different), strict=True))

    def of(self, cells: Sequence[_Cell]) -> list[str]:
        """A figure of each cell, of fewer where there is no more room."""
        figures = []
        for cell in cells:
            drawn = self.drawn[cell.files, cell.stored]
            self.room -= sum(len(picture) for picture, _ in drawn.pictures)
            if self.room < 0:
                break
            figures.append(self._figure(cell, drawn))
        return figures

    def _drawn(self, what: tuple[Files, bool]) -> _Drawn:
        (image, _), stored = what
        if stored and image in self.candidates:
            drawn, trouble = candidate_view(self.candidates[image], SIDE)
        elif stored:
            drawn, trouble = stored_view(image, SIDE)
        else:
            drawn, trouble = views(self.pairs.get(image, image), self.recipe, self.config, SIDE)
        words = ("", "its mask", "with its mask over it")
        # the mask alone only where it can't lie over the picture
        shown = [(drawn[i], words[i]) for i in sorted({0, len(drawn) - 1}) if drawn]
        return _Drawn(tuple((_source(view), word) for view, word in shown), trouble)

    def _figure(self, cell: _Cell, drawn: _Drawn) -> str:
        name = _text(cell.name)
        parts = [f'<img {source} alt="{f"{name} {word}".strip()}">' for source, word in drawn.pictures]
        below = ""
        if len(parts) < 2 and not cell.stored:
            parts += [f'<div class="blank">{_text(drawn.trouble or "")}</div>']
        elif drawn.trouble:
            below = f'<span class="trouble">{_text(drawn.trouble)}</span>'
        if example := None if cell.stored else self.example_of.get(cell.files[0]):
            group = "" if example.group == example.name else f" · {_text(example.group)}"
            below += f'<span class="{example.split}">{example.split}{group}</span>'
        return (
            f'<figure><div class="views">{"".join(parts)}</div><figcaption><b>{name}</b> {below}</figcaption></figure>'
        )


def _page(diagnosis: Diagnosis, train: str, again: str) -> str:
    later = {id(finding) for finding in [f for f in diagnosis.findings if f.weight == "question"][MOST_QUESTIONS:]}
    findings = [finding for finding in diagnosis.findings if id(finding) not in later]
    of_finding = [_cells(diagnosis, finding) for finding in findings]
    sheet = [_Cell(named(image, diagnosis.folder), (image, mask)) for image, mask in chosen(diagnosis, MOST)[0]]
    shown = [cells[: 2 * FEW if cells[:1] and cells[0].stored else FEW] for cells in of_finding]
    figures = _Figures(diagnosis, [*(cell for cells in shown for cell in cells), *sheet])
    articles: dict[str, list[str]] = {"question": [], "warning": [], "note": []}
    for finding, cells, few in zip(findings, of_finding, shown, strict=True):
        articles[finding.weight].append(_article(finding, figures.of(few), len(cells)))
    if after := questions_after(diagnosis):
        articles["question"].append(f"<p>{after}</p>")
    parts = {
        "questions": ("To be answered before training", articles["question"]),
        "warnings": ("Worth a look", articles["warning"]),
        "numbers": ("What is there", _labels(diagnosis) + _facts(diagnosis)),
        "pictures": ("Do the masks lie where they should?", _sheet(diagnosis, figures.of(sheet))),
        "notes": ("By the way", articles["note"]),
        "recipe": ("The proposed recipe", _recipe(diagnosis)),
    }
    there = {name: part for name, part in parts.items() if part[1]}
    links = "".join(f'<li><a href="#{name}">{head}</a></li>' for name, (head, _) in there.items())
    sections = "\n".join(
        f'<section id="{name}">\n<h2>{head}</h2>\n' + "\n".join(lines) + "\n</section>"
        for name, (head, lines) in there.items()
    )
    return _document(diagnosis, f"{_verdict(diagnosis, train, again)}\n<nav><ul>{links}</ul></nav>\n{sections}")


def _document(diagnosis: Diagnosis, body: str) -> str:
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    # whatever a name smuggles in: nothing is fetched, and no other script runs
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{MARK}
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{_text(diagnosis.folder.name)}: what the doctor found</title>
<style>
{CSS.read_text(encoding="utf-8")}</style>
</head>
<body>
<main>
{body}
</main>
<script>{SCRIPT}</script>
</body>
</html>
"""


def _verdict(diagnosis: Diagnosis, train: str, again: str) -> str:
    asked = len(diagnosis.ambiguous)
    parts = [f"<h1>{_text(headline(diagnosis))}</h1>"]
    if asked:
        parts += [
            f'<p class="word">Not yet: {counted(asked, "question")} to answer first.</p>',
            '<p>What is asked stands <a href="#questions">below</a>, with pictures. Then examine the folder again:</p>',
            _command("again", again),
        ]
        if diagnosis.recipe is not None:
            parts += ['<p>Or correct <a href="#recipe">the recipe</a>, and train by it:</p>']
    else:
        parts += [
            '<p class="word">Training may start.</p>',
            '<p>Look first whether <a href="#pictures">the masks lie where they should</a>. This trains:</p>',
        ]
    if diagnosis.recipe is not None:
        parts += [_command("train", train)]
    return f'<header class="{"asks" if asked else "ready"}">\n' + "\n".join(parts) + "\n</header>"


def _command(name: str, command: str) -> str:
    return f'<div class="command"><pre id="{name}-command">{_text(command)}</pre>{_button(f"{name}-command")}</div>'


def _button(what: str) -> str:
    return f'<button type="button" value="{what}" hidden>Copy</button>'


def _article(finding: Finding, figures: Sequence[str], count: int) -> str:
    """A finding; count: how many pictures it is about."""
    parts = [f"<h3>{_text(finding.what)}</h3>", f'<p class="advice">{_text(finding.advice)}</p>']
    if len(finding.names) > len(figures):
        more = f"{len(figures)} of {count:,} are shown. " if figures else ""
        names = "".join(f"<li>{_text(name)}</li>" for name in finding.names[:MOST_NAMES])
        rest = len(finding.names) - MOST_NAMES
        names += f"<li>and {rest:,} more</li>" if rest > 0 else ""
        parts += [f"<details><summary>{more}All names</summary><ul>{names}</ul></details>"]
    shown = f'<div class="figures">{"".join(figures)}</div>' if figures else ""
    return f'<article class="{finding.weight}"><div>{"".join(parts)}</div>{shown}</article>'


def _cells(diagnosis: Diagnosis, finding: Finding) -> list[_Cell]:
    """The candidates that a finding names, or the pairs, or else the files, or a picture of each folder."""
    rivals = [one for one in diagnosis.candidates if named(one.example, diagnosis.folder) in finding.names]
    if len(rivals) > 1:
        return [_Cell(f"{one.what}: {one.name}", (one.example, None), stored=True) for one in rivals]
    cells = [_Cell(name, files) for name, files in concerned(diagnosis, finding.names).items()]
    for name in finding.names if not cells else ():
        path = diagnosis.folder / name
        there = (
            pictures_in(path)[:1] if path.is_dir() else [path] if path.is_file() and ending(path) in SUFFIXES else []
        )
        cells += [_Cell(name, (picture, None), stored=True) for picture in there]
    return cells


def _colours(labels: Labels) -> dict[str, str]:
    names = labels.classes if labels.background is None else (labels.background, *labels.classes)
    return dict(zip(names, labels.palette, strict=True)) | {IGNORE_NAME: "#" + bytes(UNKNOWN).hex()}


def _labels(diagnosis: Diagnosis) -> list[str]:
    labels = diagnosis.labels
    if labels is None:
        return []
    masks = [s.mask for s in diagnosis.examined if isinstance(s.mask, MaskFacts)]
    pixels = sum(mask.slices * mask.height * mask.width for mask in masks)
    colours, rows = _colours(labels), []
    for key, name in labels.values.items():
        share = labels.shares[key]
        rows.append(
            f'<tr><th scope="row"><i style="background:{colours[name]}"></i>{_text(name)}</th><td>{_text(key)}</td>'
            f'<td class="bar"><span style="width:{share:.2%};background:{colours[name]}"></span></td>'
            f"<td>{percent(share)}</td><td>{round(share * pixels):,}</td>"
            f"<td>{labels.masks[key]:,} of {len(masks):,}</td></tr>"
        )
    head = "<th>label</th><th>value</th><th colspan=2>share</th><th>pixels</th><th>masks</th>"
    return [f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>']


def _facts(diagnosis: Diagnosis) -> list[str]:
    known = facts(diagnosis)
    return [f"<dl>{''.join(f'<dt>{_text(head)}</dt><dd>{_text(text)}</dd>' for head, text in known)}</dl>"] * bool(
        known
    )


def _sheet(diagnosis: Diagnosis, figures: Sequence[str]) -> list[str]:
    every = len(pictures_of(diagnosis))
    words = "Each picture as training sees it, and beside it with its mask: every class in its colour, within a line."
    if left := every - len(figures):
        words += f" {len(figures)} of {every:,} are shown, spread over the groups; {left:,} are left out."
    parts = [f"<p>{words}</p>"]
    if labels := diagnosis.labels:
        coloured = [name for name in dict.fromkeys(labels.values.values()) if name != labels.background]
        colours = _colours(labels)
        names = "".join(f'<li><i style="background:{colours[name]}"></i>{_text(name)}</li>' for name in coloured)
        parts += [f'<ul class="legend">{names}</ul>']
    return [*parts, f'<div class="figures">{"".join(figures)}</div>']


def _recipe(diagnosis: Diagnosis) -> list[str]:
    if diagnosis.recipe is None:
        return []
    text = "\n".join(_text(line) for line in diagnosis.recipe.splitlines())
    return [f'<div class="command"><pre id="recipe-text">{text}</pre>{_button("recipe-text")}</div>']


def _source(view: PIL.Image.Image) -> str:
    file = io.BytesIO()
    view.save(file, format="JPEG", quality=82, subsampling=0)  # coarse colours would blur thin lines
    data = base64.b64encode(file.getvalue()).decode()
    return f'src="data:image/jpeg;base64,{data}" width="{view.width}" height="{view.height}"'


def _text(text: str) -> str:
    """Text, names of files as well, as HTML: what can't be shown, or turns the writing around, as a lozenge."""
    known = text.encode("utf-8", "replace").decode("utf-8")
    return escape("".join(c if c.isprintable() else "\ufffd" for c in known))
