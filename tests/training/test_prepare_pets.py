import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scripts import TRAINING, load

from unetseg.fitting import Recipe
from unetseg.fitting.data.folder import find_examples, read_example

NAMES = {
    "trainval": [*(f"Abyssinian_{i}" for i in (1, 10, 11, 20, 100, 105)), *(f"beagle_{i}" for i in (3, 30, 31))],
    "test": ["Abyssinian_12", "beagle_4"],
    "extra": ["Sphynx_7"],
}


script = load("prepare_pets")


def trimap(name: str) -> NDArray[np.uint8]:
    return np.random.default_rng(sum(name.encode())).integers(1, 4, (20, 30), dtype=np.uint8)


@pytest.fixture(params=["annotations", "."])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The published files, whose lists and trimaps lie in a folder of their own or beside the pictures."""
    folder = tmp_path / "pets"
    place = folder / request.param
    (place / "trimaps").mkdir(parents=True)
    (folder / "images").mkdir()
    for which, names in NAMES.items():
        lines = [f"{name} 1 {1 if name[0].isupper() else 2} 1" for name in names]
        (place / f"{which}.txt").write_text("\n".join(lines) + "\n")
        for name in names:
            Image.new("RGB", (30, 20), (90, 60, 30)).save(folder / "images" / f"{name}.jpg")
            Image.fromarray(trimap(name)).save(place / "trimaps" / f"{name}.png")
    (place / "list.txt").write_text("#Image CLASS-ID SPECIES BREED ID\n#1:Cat 2:Dog\nAbyssinian_1 1 1 1\n")
    (place / "classes.txt").write_text("cat\ndog\n")
    (place / "README-of-the-original.txt").write_text("A text.\n")
    return folder


def test_animals_carry_their_species_and_borders_are_ignored(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert script.main([str(source), str(out)]) == 0
    recipe = Recipe.from_file(TRAINING / "recipes" / "pets.toml")
    config = recipe.config((0.0,) * 3, (1.0,) * 3)
    for folder, names in ((out, NAMES["trainval"] + NAMES["test"]), (out / "extra", NAMES["extra"])):
        examples = find_examples(recipe.data, folder, 0) if folder == out else []
        if folder != out:  # all of it is for testing
            everything = recipe.data.model_copy(update={"val": 0.0, "test": 0.0, "split_column": None})
            examples = find_examples(everything, folder, 0)
        assert sorted(example.name for example in examples) == sorted(names)
        for example in examples:
            species = 1 if example.name[0].isupper() else 2
            wanted = np.array([0, species, 0, 255], dtype=np.uint8)[trimap(example.name)]
            np.testing.assert_array_equal(read_example(example, recipe.data, config)[1], wanted)
            assert example.image.read_bytes() == (source / "images" / example.image.name).read_bytes()
    splits = {example.name: (example.group, example.split) for example in find_examples(recipe.data, out, 0)}
    assert splits["Abyssinian_1"] == ("Abyssinian_x", "train")
    assert splits["Abyssinian_10"] == splits["Abyssinian_11"] == ("Abyssinian_1x", "train")
    assert splits["Abyssinian_100"] == splits["Abyssinian_105"] == ("Abyssinian_10x", "val")
    assert splits["Abyssinian_12"] == ("test_Abyssinian_1x", "test")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        ("list", "line 1 of test.txt is 'Abyssinian_12 1 3 1', expected NAME CLASS SPECIES BREED"),
        ("path", "line 1 of test.txt is '../x 1 1 1', expected"),
        ("size", "Abyssinian_12.png is (5, 4) pixels of [1], its picture (30, 20)"),
        (
            "values",
            "Abyssinian_12.png is (30, 20) pixels of [0], its picture (30, 20); expected that size, and 1 animal",
        ),
        ("cut", "Abyssinian_12.png is damaged"),
        ("picture", "Abyssinian_12.jpg can't be read"),
        ("lists", "has no test.txt, which says what is trained on"),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    source: Path, tmp_path: Path, harm: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    place = source / "annotations" if (source / "annotations").is_dir() else source
    mask = place / "trimaps" / "Abyssinian_12.png"
    if harm in ("list", "path"):
        (place / "test.txt").write_text("Abyssinian_12 1 3 1\n" if harm == "list" else "../x 1 1 1\n")
    elif harm in ("size", "values"):
        Image.new("L", (5, 4), 1).save(mask) if harm == "size" else Image.new("L", (30, 20)).save(mask)
    elif harm == "cut":
        mask.write_bytes(mask.read_bytes()[:60])
    else:
        (source / "images" / "Abyssinian_12.jpg" if harm == "picture" else place / "test.txt").unlink()
    assert script.main([str(source), str(tmp_path / "out")]) == 1
    assert message in caplog.text
    assert len(caplog.text.strip().splitlines()) == 1


def test_the_real_pictures_have_the_counts_of_their_readme(real_data: Path, tmp_path: Path) -> None:
    pets = real_data / "pictures" / "pets"
    counts = script.prepare(pets, tmp_path)
    told = json.loads((real_data / "pictures" / "counts.json").read_text())
    assert counts["train"] + counts["val"] == 290, told
    assert (counts["test"], counts["extra"]) == (284, 90)
    assert not {row.split(",")[1] for row in (tmp_path / "manifest.csv").read_text().split()[1:] if "train" in row} & {
        row.split(",")[1] for row in (tmp_path / "manifest.csv").read_text().split()[1:] if "val" in row
    }
