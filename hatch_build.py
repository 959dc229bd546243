"""A wheel carries the page without a server, where npm has built it; see `unetseg/demo/static.py`."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PLACES = {"wheel": "unetseg/demo/built", "sdist": "web/dist"}


class Page(BuildHookInterface):  # type: ignore[type-arg]
    """Adds web/dist, which git ignores."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """An editable installation is a clone, in which npm builds."""
        built = Path(self.root) / "web" / "dist"
        if version != "editable" and (built / "files.json").is_file():
            build_data["force_include"][str(built)] = PLACES[self.target_name]
