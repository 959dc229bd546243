import inspect
import re
from pathlib import Path

import pytest

from unetseg.fitting import Recipe

SHIPPED = sorted((Path(__file__).parents[2] / "training" / "recipes").glob("*.toml"))
TEXT = """
[data]
task = "binary"
classes = ["liver"]
background = "background"
palette = ["#000000", "#e4572e"]
channels = ["gray"]
mask_values = { 0 = "background", 255 = "liver" }

[model]
widths = [4, 8, 16]

[train]
epochs = 3
crop = 32

[card]
title = "A title"
summary = "A summary."
license = "cc0-1.0"
data = "Nobody's."
limits = "Everywhere."
"""


def error(path: Path) -> str:
    """What a recipe is refused with: one sentence that begins with its path."""
    with pytest.raises(ValueError, match=r"\A") as caught:
        Recipe.from_file(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message.removeprefix(str(path))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_recipe_written_down_is_the_same_recipe(path: Path, tmp_path: Path) -> None:
    recipe = Recipe.from_file(path)
    (tmp_path / "again.toml").write_text(recipe.to_toml())
    assert Recipe.from_file(tmp_path / "again.toml") == recipe.model_copy(update={"card": None})


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_recipe_loads_and_has_a_card(path: Path) -> None:
    recipe = Recipe.from_file(path)
    assert recipe.card is not None
    config = recipe.config(mean=(0.5,) * len(recipe.data.channels), std=(0.2,) * len(recipe.data.channels))
    assert set(config.labels) <= set(recipe.data.mask_values.values())


def test_a_recipe_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    assert error(tmp_path / "none.toml").startswith(" can't be read: ")


def test_there_are_shipped_recipes() -> None:
    assert {"liver", "samples", "satellite"} <= {path.stem for path in SHIPPED}


def test_what_a_file_says_is_what_the_recipe_holds(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(TEXT, encoding="utf-8-sig")  # as an editor on Windows saves it
    recipe = Recipe.from_file(path)
    assert recipe.data.mask_values == {"0": "background", "255": "liver"}
    assert (recipe.train.epochs, recipe.train.crop, recipe.train.batch_size) == (3, 32, 8)
    config = recipe.config(mean=(0.25,), std=(0.5,))
    assert (config.task, config.labels, config.widths) == ("binary", ("background", "liver"), (4, 8, 16))
    assert (config.mean, config.std, config.temperatures, config.thresholds) == ((0.25,), (0.5,), (1.0,), (0.5,))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("epochs = 3", "epoch = 3", ["unknown field 'train.epoch'", "did you mean 'epochs'"]),
        ("[train]", "[trian]", ["unknown field 'trian'", "did you mean 'train'"]),
        ('license = "', 'licence = "', ["unknown field 'card.licence'"]),
        ("epochs = 3", 'epochs = "3"', ["'train.epochs'", "integer", "'3'"]),
        ("epochs = 3", "epochs = 0", ["'train.epochs'", "greater than or equal to 1", "0"]),
        ("epochs = 3", 'synthetic = "mri"', ["'train.synthetic'", "'ct'", "'aerial'", "'mri'"]),
        ("epochs = 3", 'synthetic = "aerial"', ["'aerial' have 5 labels", "names 2", "leave synthetic out"]),
        ("epochs = 3", "epochs = 2024-05-17", ["'train.epochs'", "integer", "'2024-05-17'"]),
        ("epochs = 3", f"seed = {2**70}", ["'train.seed'", str(2**70)]),
        ("epochs = 3", "seed = -1", ["'train.seed'", "got -1"]),
        ("epochs = 3", "learning_rate = inf", ["'train.learning_rate'", "finite"]),
        ('255 = "liver"', '255 = "kidney"', ["'255'", "'kidney'", "'liver'", "ignore"]),
        (', 255 = "liver"', "", ["names no value for ['liver']"]),
        ('255 = "liver"', '"#ff0000" = "liver"', ["mixes numbers and colours"]),
        ('255 = "liver"', 'white = "liver"', ["mask_values", "'white'"]),
        ("[model]", 'group_column = "patient"\n[model]', ["group_column", "manifest"]),
        ("[model]", "group_pattern = '(tile'\n[model]", ["group_pattern", "'(tile'", "missing )"]),
        ("[model]", "group_pattern = 'tile'\n[model]", ["group_pattern", "'tile'", "bracket"]),
        ("[model]", "val = 1.5\n[model]", ["'data.val': it is a share from 0 to 1 or a list of groups", "got 1.5"]),
        ("[model]", 'test = "0"\n[model]', ["'data.test': it is a share from 0 to 1", "got '0'"]),
        ("[model]", "[model]\nscales = [1, 0.6]", ["the scale 0.6 is 19.2 pixels", "multiple of 4", "scale 0.625"]),
        ('["liver"]', '["liver", "spleen"]', ["names no value for ['spleen']"]),
        ('["#000000", "#e4572e"]', '["#000000"]', ["palette", "expected 2, got 1"]),
        ('["#000000", "#e4572e"]', '["black", "#e4572e"]', ["'data.palette.0'", "'black'"]),
        ('"binary"', '"segmentation"', ["'data.task'", "'binary'", "'segmentation'"]),
        ('background = "background"\n', "", ["mask_values", "'background'"]),
        ("crop = 32", "crop = 30", ["crop is 30", "multiple of 4"]),
        ("crop = 32", "crop = 36\ncoarse_epochs = 1", ["crop is 36", "multiple of 8", "coarse_epochs"]),
        ("epochs = 3", "epochs = 3\ncoarse_epochs = 3", ["coarse_epochs is 3", "fewer than the 3 epochs"]),
        ("[4, 8, 16]", "[4]", ["widths", "at least 2"]),
        (TEXT, "", ["'data' is missing"]),
        ("[data]", "[data", ["not valid TOML", "line 2"]),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused_in_one_sentence(
    tmp_path: Path, old: str, new: str, words: list[str]
) -> None:
    path = tmp_path / "recipe.toml"
    assert old in TEXT
    path.write_text(TEXT.replace(old, new))
    message = error(path)
    assert [word for word in words if word not in message] == [], message
    assert "got {" not in message  # no section as a whole


def test_a_file_that_cannot_be_read_is_refused_in_one_sentence(tmp_path: Path) -> None:
    assert "No such file" in error(tmp_path / "none.toml")
    assert "directory" in error(tmp_path)
    (tmp_path / "latin.toml").write_bytes(TEXT.replace("A title", "Größe").encode("latin-1"))
    assert "not valid TOML" in error(tmp_path / "latin.toml")


@pytest.mark.parametrize(
    "deep", ["[" * 100_000, "[" * 300 + "]" * 300, "{ a = " * 100_000, f"0\n{'a.' * 100_000}b = 1"]
)
def test_what_is_nested_too_deep_is_one_sentence(tmp_path: Path, deep: str) -> None:
    path = tmp_path / "deep.toml"
    path.write_text(TEXT.replace("epochs = 3", f"epochs = {deep}"))
    assert len(error(path)) < 600
    path.write_text(TEXT)
    with pytest.raises(ValueError, match=r"^[^\n]*$"):
        Recipe.from_file(path, {"train.epochs": "[" * 100_000})


def test_every_field_is_documented_where_it_is_defined() -> None:
    for section in Recipe.sections().values():
        text = inspect.getdoc(section) or ""
        lists = re.findall(r"(?:^ *|[.] )([a-z_]+(?:, [a-z_]+)*):", text, re.MULTILINE)
        named = {name for names in lists for name in names.split(", ")} | set(re.findall(r"`([a-z_]+)`", text))
        assert section.model_fields.keys() - named == set(), section.__name__


@pytest.mark.parametrize("name", ["🌳", r"\u007f", r"\\ \" \n"])
def test_characters_that_toml_writes_otherwise_than_json_are_written_down(name: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(TEXT.replace('"liver"', f'"{name}"'))
    recipe = Recipe.from_file(path)
    path.write_text(recipe.to_toml())
    assert Recipe.from_file(path).data == recipe.data


def test_a_change_that_makes_no_sense_is_told_with_the_change(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(TEXT)
    with pytest.raises(ValueError, match=r"recipe.toml with --train.epochs many: field 'train.epochs'.*'many'"):
        Recipe.from_file(path, {"train.epochs": "many"})
    path.write_text("train = 5\n" + TEXT.replace("[train]\nepochs = 3\ncrop = 32\n", ""))
    with pytest.raises(ValueError, match=r"'train'.*5"):
        Recipe.from_file(path, {"train.epochs": "3"})


def test_changes_replace_what_the_file_says(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(TEXT)
    changes = {"train.epochs": "7", "augment.flip": '["vertical"]', "train.keep": "last", "card.title": "Two words"}
    recipe = Recipe.from_file(path, changes)
    assert (recipe.train.epochs, recipe.train.keep, recipe.augment.flip) == (7, "last", ("vertical",))
    assert recipe.card is not None
    assert recipe.card.title == "Two words"
    assert recipe.train.crop == Recipe.from_file(path).train.crop
    with pytest.raises(ValueError, match=r"'train.epochs': .*'many'"):
        Recipe.from_file(path, {"train.epochs": "many"})


def test_a_background_crop_needs_a_background(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    text = TEXT.replace('"binary"', '"multiclass"').replace('background = "background"\n', "")
    text = text.replace('["liver"]', '["background", "liver"]')
    path.write_text(text + "\n[augment]\nbackground_crop = 0.1\n")
    assert "background_crop needs a background" in error(path)
