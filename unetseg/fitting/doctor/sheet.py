"""Which pictures of an examined folder go on its contact sheet, and with which legend."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from ..recipe import IGNORE_NAME
from .checks import named
from .contact_sheet import IGNORED, Chip, Entry, write_contact_sheet
from .findings import percent
from .report import headline

if TYPE_CHECKING:
    from .diagnosis import Diagnosis

MOST = 12
TROUBLED = 4


def draw_sheet(diagnosis: Diagnosis, path: Path) -> None:
    """Write the contact sheet: some with something wrong first, then pictures of all groups; PNG."""
    data = config = None
    chips: list[Chip] = []
    if diagnosis.labels is not None and (recipe := diagnosis.parsed()) is not None:
        data = recipe.data
        config = recipe.config((0.0,) * len(data.channels), (1.0,) * len(data.channels))
        shares: dict[str, float] = {}
        for key, name in diagnosis.labels.values.items():
            shares[name] = shares.get(name, 0.0) + diagnosis.labels.shares[key]
        for name, colour in zip((*config.labels, IGNORE_NAME), (*config.palette, IGNORED), strict=True):
            if name in shares:
                chips.append(Chip(colour, f"{name}  {percent(shares[name])}"))
    write_contact_sheet(path, headline(diagnosis), _entries(diagnosis), chips, data, config)


def _entries(diagnosis: Diagnosis) -> list[Entry]:
    """Up to four with something wrong, then pictures spread over the groups."""
    folder = diagnosis.folder
    of = {example.image: (example.group, example.split) for example in diagnosis.examples}
    wrong = {name.partition(" (")[0] for f in diagnosis.findings if f.weight == "question" for name in f.names}
    every: list[tuple[Path, Path | None]] = [(s.pair.image, s.pair.mask) for s in diagnosis.examined]
    every += [(path, None) for path in diagnosis.lone]
    troubled = [pair for pair in every if any(p is not None and named(p, folder) in wrong for p in pair)]
    chosen = [troubled[i * len(troubled) // min(TROUBLED, len(troubled))] for i in range(min(TROUBLED, len(troubled)))]
    by_group: dict[str, list[tuple[Path, Path | None]]] = {}
    for pair in every:
        if pair not in chosen:
            by_group.setdefault(of.get(pair[0], ("", ""))[0], []).append(pair)
    groups = list(by_group.values())
    room = min(MOST - len(chosen), sum(map(len, groups)))
    turns = Counter(i * len(groups) // room if len(groups) > room else i % len(groups) for i in range(room))
    for number, count in sorted(turns.items()):
        here = groups[number]
        count = min(count, len(here))
        chosen += [here[(2 * i + 1) * len(here) // (2 * count)] for i in range(count)]
    return [
        Entry(
            image,
            mask,
            named(image, folder),
            " · ".join(filter(None, of.get(image, ("", "")))),
            (image, mask) in troubled,
        )
        for image, mask in chosen
    ]
