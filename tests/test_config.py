import json
import re
from pathlib import Path
from typing import Any

import pytest
from configs import RGB, config_for
from pydantic import ValidationError

from unetseg import SegmentationConfig
from unetseg.config import SINCE


def written(path: Path, **changes: Any) -> Path:  # noqa: ANN401, any JSON
    """A config.json of a binary task with some fields replaced; None of `...` stands for a field left out."""
    fields = {**json.loads(config_for("binary").to_json()), **changes}
    path.write_text(json.dumps({name: value for name, value in fields.items() if value is not ...}))
    return path


def test_json_round_trip(config: SegmentationConfig, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    full = {"window": (-160.0, 240.0), "orientation": "LPS", "working_size": 256, "value_range": ((0.0, 4095.0),)}
    for one in (
        config,
        config.model_copy(update=full),
        config.model_copy(update={"working_scale": 0.25, "scales": (1.0, 0.5)}),
    ):
        path.write_text(one.to_json())
        assert SegmentationConfig.from_file(path) == one


def test_json_has_a_line_for_each_field() -> None:
    text = config_for("one-vs-rest", **RGB).to_json()
    assert len(text.splitlines()) == 2 + len(SegmentationConfig.model_fields) - len(SINCE)
    assert '  "channels": ["red", "green", "blue"],\n' in text


def test_what_came_later_has_a_format_of_its_own_and_the_lowest_is_written(tmp_path: Path) -> None:
    """A field that format 1 has not: refused there, needed in format 2, which is read and written back as it is."""
    assert json.loads(config_for("binary").to_json())["format"] == 1
    newer = config_for("binary", format=2, ground_resolution=(0.3, 1.0))
    path = tmp_path / "config.json"
    path.write_text(newer.to_json())
    assert json.loads(newer.to_json())["format"] == 2
    assert SegmentationConfig.from_file(path) == newer
    empty: dict[str, Any] = {"format": 2, **dict.fromkeys(SINCE)}
    for changes, message in (
        ({"ground_resolution": [0.3, 1.0]}, "ground_resolution came with format 2, got format 1"),
        ({"format": 2}, "lacks ground_resolution, picture_rule, picture_temperature"),
        ({**empty, "ground_resolution": [1.0, 0.3]}, "ground_resolution goes from low to high"),
        ({**empty, "ground_resolution": [0.0, 0.3]}, "greater than 0"),
        ({**empty, "picture_rule": "mean"}, "picture_rule and picture_temperature go together; give both or neither"),
        ({**empty, "picture_rule": "most", "picture_temperature": 1.0}, "field 'picture_rule': input should be 'mean'"),
        ({**empty, "picture_rule": "mean", "picture_temperature": 1.0}, "picture_rule needs a multiclass task"),
    ):
        with pytest.raises(ValueError, match=message):
            SegmentationConfig.from_file(written(path, **changes))
    assert SegmentationConfig.from_file(written(path, **empty)).ground_resolution is None
    with pytest.raises(ValueError, match="ground_resolution came with format 2, got format 1"):
        config_for("binary", ground_resolution=(0.3, 1.0))


def test_what_the_network_sees_in_words() -> None:
    configs = [config_for("binary", **more) for more in ({}, {"working_size": 256}, {"working_scale": 0.5})]
    words = [config.resolution for config in configs]
    assert words == ["its own resolution", "256 pixels on the longer side", "0.5 of its own resolution"]
    assert words == [config.resolutions for config in configs]
    twice = config_for("binary", working_size=256, scales=(1.0, 0.5))
    assert twice.resolutions == "256 pixels on the longer side, times 1 and 0.5 (logits averaged)"


def test_labels_and_outputs() -> None:
    binary, merged = config_for("binary"), config_for("one-vs-rest with background")
    assert (binary.labels, binary.outputs) == (("background", "liver"), ("liver",))
    assert (merged.labels, merged.outputs) == (("nothing", "cat", "dog", "bird"), ("cat", "dog", "bird"))
    exclusive = config_for("multiclass with background")
    assert exclusive.labels == exclusive.outputs == ("nothing", "cat", "dog")


def test_a_config_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        config_for("binary").thresholds = (0.1,)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": [0.5], "thresholds": ...}, "unknown field 'threshold'; did you mean 'thresholds'?"),
        ({"working_sise": 256}, "unknown field 'working_sise'; did you mean 'working_size'?"),
        ({"zzz": 1}, "unknown field 'zzz'; known are format, task, "),
        ({"format": 0}, "field 'format': input should be 1 or 2, got 0"),
        ({"task": "multilabel"}, "field 'task': input should be 'binary', 'multiclass' or 'one-vs-rest'"),
        ({"palette": ["#000000", "red"]}, "field 'palette.1': "),
        ({"palette": ["#000000", "#12345g"]}, "field 'palette.1': "),
        ({"mean": ["0.4"]}, "field 'mean.0': input should be a valid number, got '0.4'"),
        ({"std": [0.0]}, "field 'std.0': input should be greater than 0"),
        ({"thresholds": [1.5]}, "field 'thresholds.0': input should be less than or equal to 1"),
        ({"working_size": 8}, "field 'working_size': input should be greater than or equal to 16"),
        ({"working_scale": 2.0}, "field 'working_scale': input should be less than or equal to 1"),
        ({"scales": [1.0, 3.0]}, "field 'scales.1': input should be less than or equal to 2, got 3.0"),
        ({"scales": []}, "field 'scales': tuple should have at least 1 item after validation, not 0, got []"),
        ({"working_size": 64, "working_scale": 0.5}, "working_size 64 and working_scale 0.5 both say what the network"),
        ({"widths": [4]}, "field 'widths': "),
        ({"background": None}, "a binary task has exactly one class and a background"),
        ({"classes": ["background"]}, "label names must differ"),
        ({"window": [240.0, -160.0]}, "a range goes from low to high, got [240.0, -160.0]"),
        ({"value_range": [[5.0, 5.0]]}, "a range goes from low to high, got [5.0, 5.0]"),
    ],
)
def test_a_wrong_field_is_one_sentence_that_names_it(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = written(tmp_path / "config.json", **changes)
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: {re.escape(message)}[^\n]*$"):
        SegmentationConfig.from_file(path)


@pytest.mark.parametrize("field", list(SegmentationConfig.model_fields))
def test_no_field_may_be_missing(tmp_path: Path, field: str) -> None:
    of_format = {} if field not in SINCE else {"format": SINCE[field], **dict.fromkeys(SINCE)}
    path = written(tmp_path / "config.json", **{**of_format, field: ...})
    with pytest.raises(ValueError, match=f"lacks {field}; every field"):
        SegmentationConfig.from_file(path)


@pytest.mark.parametrize("deep", ["[" * 100_000, '{"a":' * 100_000, "[" * 400 + "]" * 400, "[" * 940 + "]" * 940])
def test_what_is_nested_too_deep_is_one_sentence(tmp_path: Path, deep: str) -> None:
    path = tmp_path / "config.json"
    for text in (deep, written(path, window=...).read_text().replace("{", f'{{"window": {deep},', 1)):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"^[^\n]{1,600}$"):
            SegmentationConfig.from_file(path)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "\xff\xfe"])
def test_a_file_that_is_no_json_object_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"config\.json (is not a readable JSON file|holds a list)"):
        SegmentationConfig.from_file(path)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("palette", ("#000000",), 2),
        ("mean", (0.1, 0.2), 1),
        ("std", (0.1, 0.2, 0.3), 1),
        ("temperatures", (), 1),
        ("thresholds", (0.5, 0.5), 1),
        ("value_range", (), 1),
        ("value_range", ((0.0, 1.0), (0.0, 1.0)), 1),
    ],
)
def test_a_wrong_length_is_refused(field: str, value: tuple[Any, ...], expected: int) -> None:
    with pytest.raises(ValidationError, match=f"{field} needs one entry per .*: expected {expected}, got {len(value)}"):
        config_for("binary", **{field: value})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("field", ["mean", "std", "temperatures", "thresholds", "window", "value_range"])
def test_numbers_are_finite(field: str, value: float) -> None:
    pair = (min(value, 0.0), max(value, 0.0))
    shaped = {"window": pair, "value_range": (pair,)}.get(field, (value,))
    with pytest.raises(ValidationError, match=field):
        config_for("binary", **{field: shaped})


def test_a_multiclass_task_has_one_temperature_and_a_threshold_for_each_label() -> None:
    with pytest.raises(ValidationError, match="temperatures needs one entry per softmax or sigmoid: expected 1, got 3"):
        config_for("multiclass with background", temperatures=(1.0,) * 3)
    with pytest.raises(ValidationError, match="thresholds needs one entry per output channel: expected 3, got 2"):
        config_for("multiclass with background", thresholds=(0.5,) * 2)


def test_one_class_without_a_background_is_refused() -> None:
    with pytest.raises(ValueError, match="name the background"):
        config_for("one-vs-rest", classes=("land",), palette=("#102030",), temperatures=(1.0,), thresholds=(0.5,))
