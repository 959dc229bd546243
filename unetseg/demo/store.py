"""Results of the visitors, the newest few, in bounded memory."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

from ..segmentation import Segmentation


class Gone(Exception):  # noqa: N818, what happened, not a fault
    """The result was dropped to make room for newer ones."""


class Store:
    """Segmentations by a random id; the longest unused are dropped beyond `limit` bytes of pixels and logits.

    Each has a folder of the name of its id, which is removed with it.
    """

    def __init__(self, folder: Path, limit: int = 2_000_000_000) -> None:
        self.folder, self.limit = folder, limit
        self._kept: OrderedDict[str, tuple[Segmentation, Segmentation]] = OrderedDict()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def new(self) -> Iterator[str]:
        """An id with a folder, for a result that is being made; the folder goes again if none is put."""
        key = secrets.token_urlsafe(16)
        (self.folder / key).mkdir()
        try:
            yield key
        finally:
            with self._lock:
                if key not in self._kept:
                    shutil.rmtree(self.folder / key)

    def put(self, key: str, full: Segmentation, shown: Segmentation) -> None:
        """Keep a result and its copy at the shown size."""
        with self._lock:
            self._kept[key] = full, shown
            while len(self._kept) > 1 and sum(_bytes(f) for f, _ in self._kept.values()) > self.limit:
                dropped, _ = self._kept.popitem(last=False)
                shutil.rmtree(self.folder / dropped)

    def get(self, key: str) -> tuple[Segmentation, Segmentation]:
        """The result (full, shown) of an id; raises Gone."""
        with self._lock:
            try:
                self._kept.move_to_end(key)
            except KeyError:
                raise Gone("This result is no longer kept on the server: upload the picture again.") from None
            return self._kept[key]


def _bytes(segmentation: Segmentation) -> int:
    return int(segmentation.network_logits.nbytes + segmentation.image.pixels.nbytes)
