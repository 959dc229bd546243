"""A model that is loaded when it is first run: a page of many starts as soon as one of a few."""

from __future__ import annotations

import threading

from .. import hub
from ..config import SegmentationConfig
from ..files import CONFIG, WEIGHTS
from ..formats import Image
from ..gate import Gate
from ..predictor import Found, Predictor
from ..segmentation import Segmentation


class Later:
    """A checkpoint as `Predictor` offers it; until it is called, nothing but its config is read."""

    def __init__(self, name: str, *, device: str = "auto") -> None:
        """name: as `Predictor.from_pretrained` takes it; ValueError and OSError where there is no such checkpoint."""
        self.source = hub.find(name)
        self.config = SegmentationConfig.from_file(self.source.folder / CONFIG)
        if not (self.source.folder / WEIGHTS).is_file():
            raise ValueError(f"{self.source.folder} has no {WEIGHTS}; save the checkpoint again")
        self._device = device
        self._lock = threading.Lock()
        self._predictor: Predictor | None = None

    def __call__(self, image: Image, *, accept_proposals: bool = False, progress: Found | None = None) -> Segmentation:
        """Segment an image as `Predictor` does; ValueError, too, for weights that can't be loaded."""
        return self.loaded()(image, accept_proposals=accept_proposals, progress=progress)

    def loaded(self) -> Predictor:
        """The predictor, loaded once."""
        with self._lock:
            if self._predictor is None:
                predictor = Predictor.from_pretrained(self.source.folder, device=self._device)
                predictor.source = self.source  # which knows the commit, too
                self._predictor = predictor
            return self._predictor

    @property
    def model(self) -> str:
        """What the checkpoint is called, as a `Predictor` calls it."""
        return str(self.source) if self.source.commit else self.source.folder.name

    @property
    def gate(self) -> Gate | None:
        """What the checkpoint knows of its training's pictures, read each time; None also of one that is faulty."""
        try:
            return Gate.load(self.source.folder, self.config)
        except ValueError:  # told when it is loaded
            return None


Offered = Predictor | Later
"""A model of the page."""
