import csv
import gzip
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scripts import TRAINING, load

from unetseg.fitting import Recipe
from unetseg.fitting.data.folder import find_examples, read_example

script = load("prepare_mnist")


def idx(array: NDArray[np.uint8]) -> bytes:
    """The published form: 0, 0, 8 for bytes, the number of dimensions, each side big-endian, the bytes."""
    return bytes((0, 0, 8, array.ndim)) + np.array(array.shape, dtype=">u4").tobytes() + array.tobytes()


def digits(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
    return images, random.integers(0, 10, count, dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """2,200 pictures to train in two parts, one of them packed, and 30 to test; another file beside them."""
    source = tmp_path / "idx"
    source.mkdir()
    images, labels = digits(2200, 0)
    for number, part in enumerate((slice(0, 1500), slice(1500, None)), start=1):
        pack = gzip.compress if number == 1 else bytes
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            name = f"train{number}-{kind}-ubyte" + (".gz" if number == 1 else "")
            (source / name).write_bytes(pack(idx(array[part])))
    for kind, array in zip(("images.idx3", "labels.idx1"), digits(30, 1), strict=True):
        (source / f"t10k-{kind}-ubyte").write_bytes(idx(array))
    (source / "classes.txt").write_text("0\n")
    return source


def test_every_picture_arrives_with_its_label_where_there_is_ink(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert script.main([str(folder), str(out)]) == 0
    recipe = Recipe.from_file(TRAINING / "recipes" / "digits.toml")
    config = recipe.config((0.0,), (1.0,))
    examples = find_examples(recipe.data, out, 0)
    assert len(examples) == 2230
    images, labels = digits(2200, 0)
    tests, test_labels = digits(30, 1)
    wanted = {f"train_{i:05d}": (images[i], labels[i]) for i in range(2200)}
    wanted |= {f"t10k_{i:05d}": (tests[i], test_labels[i]) for i in range(30)}
    for example in examples[::50]:
        pixels, label = wanted[example.name]
        scaled, found = read_example(example, recipe.data, config)
        np.testing.assert_array_equal((scaled[0] * 255).round().byte().numpy(), pixels)
        np.testing.assert_array_equal(found, np.where(pixels >= 128, label + 1, 0))
    with (out / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["block"], row["split"]) for row in rows} == {
        ("train_00", "train"), ("train_01", "train"), ("train_02", "val"), ("t10k_00", "test"),
    }  # fmt: skip


def test_the_same_command_goes_on_and_another_ink_is_another_mask(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert script.main([str(folder), str(out)]) == 0
    mask = out / "masks" / "train_00007.png"
    before, other = mask.read_bytes(), (out / "masks" / "train_00008.png").stat().st_mtime_ns
    mask.unlink()
    assert script.main([str(folder), str(out)]) == 0
    assert mask.read_bytes() == before
    assert (out / "masks" / "train_00008.png").stat().st_mtime_ns == other
    assert script.main([str(folder), str(tmp_path / "darker"), "--ink", "10"]) == 0
    pixels = digits(2200, 0)[0][7]
    assert ((np.asarray(Image.open(tmp_path / "darker" / "masks" / mask.name)) > 0) == (pixels >= 10)).all()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t10k-labels.idx1-ubyte", None, "has no labels of t10k; get them too"),
        ("t10k-labels.idx1-ubyte", idx(np.zeros(29, np.uint8)), "has 29 labels up to 0, expected one below 254"),
        ("t10k-labels.idx1-ubyte", idx(np.full(30, 254, np.uint8)), "has 30 labels up to 254, expected one below 254"),
        ("t10k-images.idx3-ubyte", b"\x89PNG", "is no IDX file of 3 dimensions (it begins with 89 50 4e 47); get it"),
        ("t10k-images.idx3-ubyte", idx(digits(30, 1)[0])[:-5], "it should hold 23520 bytes, and has 23515"),
        ("t10k-images.idx3-ubyte", idx(digits(30, 1)[0]) + b"x", "it should hold 23520 bytes, and has more"),
        ("t10k-images.idx3-ubyte", bytes((0, 0, 8, 3)) + b"\xff" * 12, "its sides are [4294967295, 4294967295"),
        (
            "train1-images-idx3-ubyte.gz",
            gzip.compress(idx(digits(1500, 0)[0]))[:-900],
            "train1-images-idx3-ubyte.gz is",
        ),
        ("train2-images-idx3-ubyte", idx(np.ones((700, 20, 20), np.uint8)), "differ in the size of their pictures"),
        ("test-images-idx3-ubyte", idx(digits(30, 1)[0]), "holds t10k-images.idx3-ubyte and test-images-idx3-ubyte"),
        ("t10k-images.idx3-ubyte", idx(np.ones((30, 28, 28), np.uint8)), "t10k_00000 has no pixel of at least 128"),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    folder: Path, tmp_path: Path, name: str, content: bytes | None, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
    assert script.main([str(folder), str(tmp_path / "out")]) == 1
    assert message in caplog.text
    assert len(caplog.text.strip().splitlines()) == 1
    assert not (tmp_path / "out" / "manifest.csv").exists()


def test_the_real_files_are_read_whole(real_data: Path) -> None:
    for name, first in (("mnist", [5, 0, 4, 1, 9]), ("fashion_mnist", [9, 0, 0, 3, 0])):
        sets = script.read_sets(real_data / "pictures" / name)
        assert sets["train"][0].shape == (60000, 28, 28)
        assert sets["t10k"][0].shape == (10000, 28, 28)
        assert sets["train"][1][:5].tolist() == first
