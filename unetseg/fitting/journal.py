"""What one sees of a run while it goes on: metrics.csv, curves.png and, of validation, validation.png."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..files import whole
from ..predictor import Predictor
from .data.folder import Example, read_truth, telling_slice
from .data.joined import read_joined
from .recipe import Data
from .report.panel import panel, panel_row
from .report.plots import BLUE, GREEN, ORANGE, Chart, as_png

COLUMNS = ("epoch", "step", "learning_rate", "train_loss", "mean_group_dice", "miou", "accuracy", "seconds")
SCORES = (("mean_group_dice", "mean group Dice", BLUE), ("miou", "mean IoU", ORANGE), ("accuracy", "accuracy", GREEN))


class Journal:
    """Files of a run folder, each whole at any moment; what is later than `epoch` and `step` is dropped at a resume."""

    def __init__(self, folder: Path, epoch: int, step: int, *, tensorboard: bool = False) -> None:
        self.folder = folder
        self.rows: list[dict[str, object]] = []
        self.events = _tensorboard(folder / "tensorboard", step) if tensorboard else None
        path = folder / "metrics.csv"
        if path.exists() and epoch:
            with path.open(newline="", encoding="utf-8") as file:
                self.rows = [dict(row) for row in csv.DictReader(file) if int(row["epoch"]) <= epoch]

    def add(self, row: dict[str, object]) -> None:
        """Append an epoch's row to metrics.csv, unknown values left empty, and draw the curves anew."""
        self.rows.append(row)
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        with whole(self.folder / "metrics.csv") as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8")
        with whole(self.folder / "curves.png") as temporary:
            temporary.write_bytes(self._curves())
        if self.events is not None:
            for name in COLUMNS[2:]:
                if row.get(name, "") != "":
                    self.events.add_scalar(name, float(str(row[name])), row["step"])
            self.events.flush()

    def panel(self, predictor: Predictor, examples: Sequence[Example], data: Data, count: int = 4) -> None:
        """Write validation.png: some pictures, evenly chosen, with truth, prediction and where these differ.

        Of a volume it is the slice in the middle of those that show a class.
        """
        rows = []
        for i in np.linspace(0, len(examples) - 1, min(count, len(examples))).round().astype(int):
            image = read_joined(examples[i])
            truth = read_truth(examples[i], image, data, predictor.config)
            shown = telling_slice(truth)
            segmentation = predictor(image.alone(shown))
            name = examples[i].image.name + (f", slice {shown + 1}" if len(truth) > 1 else "")
            labels = segmentation.labels()[0]
            rows.append(panel_row(name, segmentation.rgb[0], truth[shown], labels, predictor.config))
        with whole(self.folder / "validation.png") as temporary:
            panel(rows, predictor.config).save(temporary, format="PNG", compress_level=1)  # soon replaced

    def _curves(self) -> bytes:
        last = float(str(self.rows[-1]["epoch"]))
        losses = self._points("train_loss")
        loss = Chart(
            "Loss of training",
            "epoch",
            "loss",
            x_range=(0, last),
            y_range=(0, round_number(max(y for _, y in losses))),
        )
        score = Chart("Scores of validation", "epoch", "score", x_range=(0, last))
        for chart, points, color in (
            (loss, losses, BLUE),
            *((score, self._points(key), color) for key, _, color in SCORES),
        ):
            if len(points) > 1:
                chart.line(points, color)
            chart.dots(points, color, 2.5)
        score.key([(name, color) for _, name, color in SCORES])
        return as_png([[loss.finished(), score.finished()]])

    def _points(self, column: str) -> list[tuple[float, float]]:
        return [(float(str(row["epoch"])), float(str(row[column]))) for row in self.rows if row.get(column, "") != ""]


def round_number(value: float) -> float:
    """The next larger number that divides into five round ones."""
    power = 10.0 ** math.floor(math.log10(max(value, 1e-6)))
    return power * next(step for step in (1, 2, 2.5, 5, 10) if step * power >= value)


def _tensorboard(folder: Path, step: int) -> Any:  # noqa: ANN401, an optional library
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ValueError("--tensorboard needs its library; pip install tensorboard") from None
    return SummaryWriter(folder, purge_step=step + 1 if step else None)
