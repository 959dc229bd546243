"""A last line that tells whether a text is still as the project wrote it, or a person's work by now."""

from __future__ import annotations

import hashlib

MARKDOWN = "\n<!-- while nothing above is changed, unetseg may replace this file: sha256 {digest} -->\n"
TOML = "\n# while nothing above is changed, the next proposal may replace this file: sha256 {digest}\n"


def sealed(text: str, seal: str) -> str:
    """A text with its seal, one of MARKDOWN or TOML, as the last line."""
    return text + seal.format(digest=hashlib.sha256(text.encode()).hexdigest()[:16])


def unsealed(text: str, seal: str) -> str:
    """A text without its seal, which may be broken or not there at all."""
    before, mark, _ = text.rpartition(seal.partition("{digest}")[0])
    return before if mark else text


def is_edited(text: str, seal: str) -> bool:
    """Whether a person wrote or changed a text: its seal is missing or broken."""
    return sealed(unsealed(text, seal), seal) != text
