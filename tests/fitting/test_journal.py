import csv
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unetseg.fitting.journal import Journal, round_number


def row(epoch: int, **scores: object) -> dict[str, object]:
    return {"epoch": epoch, "step": 3 * epoch, "learning_rate": "0.1", "train_loss": "0.5", "seconds": "1", **scores}


def read(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_is_added_per_epoch_and_what_is_unknown_stays_empty(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0, 0)
    journal.add(row(1))
    journal.add(row(2, miou="0.25"))
    assert [r["miou"] for r in read(tmp_path)] == ["", "0.25"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "metrics.csv"]


def test_a_resumed_run_goes_on_after_its_last_epoch(tmp_path: Path) -> None:
    for epoch in (1, 2, 3):
        Journal(tmp_path, epoch - 1, 3 * epoch - 3).add(row(epoch))
    Journal(tmp_path, 1, 3).add(row(2, miou="1"))
    assert [(r["epoch"], r["miou"]) for r in read(tmp_path)] == [("1", ""), ("2", "1")]


@given(value=st.floats(1e-5, 1e6))
def test_an_axis_ends_at_a_round_number_not_far_above(value: float) -> None:
    top = round_number(value)
    assert value <= top * (1 + 1e-9)
    assert top <= 2.5 * value
    assert float(f"{top / 5:.2g}") == pytest.approx(top / 5)


def test_without_its_library_tensorboard_is_refused_with_the_command_that_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ValueError, match=r"pip install tensorboard"):
        Journal(tmp_path, 0, 0, tensorboard=True)


def test_tensorboard_gets_every_number_that_is_known(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    journal = Journal(tmp_path, 0, 0, tensorboard=True)
    journal.add(row(1))
    journal.add(row(2, miou="0.75"))
    Journal(tmp_path, 1, 3, tensorboard=True).add(row(2, miou="0.25"))  # resumed after the first epoch
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("train_loss")] == [(3, 0.5), (6, 0.5)]
    assert [(e.step, e.value) for e in events.Scalars("miou")] == [(6, 0.25)]
