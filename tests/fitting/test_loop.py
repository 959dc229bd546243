import csv
import hashlib
import json
import math
import re
import shutil
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from configs import config_for
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from unetseg import Predictor, SegmentationConfig, UNet, hub
from unetseg.fitting import Recipe, Stopped, fit, loop, optimisation
from unetseg.fitting.data.augment import collate
from unetseg.fitting.data.dataset import Crops, Pictures
from unetseg.fitting.data.folder import find_examples
from unetseg.fitting.losses import segmentation_loss
from unetseg.fitting.recipe import Augment, Card, Data, Model, Train
from unetseg.verify import verify

GREY, LABELS = np.array([40, 230, 120]), ("ground", "square", "bar")
AUGMENT = Augment(flip=("horizontal",), rotate=20, scale=1.2, translate=0.1, gamma=1.2, noise=0.02, blur=0.5)
PER_EPOCH = 3  # seven pictures of one crop each, two at a time, one left out


def write_pictures(folder: Path) -> Path:
    """Ten dark pictures, each with a bright square (label 1) and a grey bar (label 2); masks hold the ids."""
    random = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number in range(10):
        mask = np.zeros((32, 32), dtype=np.uint8)
        left = random.integers(0, 20, 2)
        mask[3:14, left[0] : left[0] + 11], mask[20:27, left[1] : left[1] + 12] = 1, 2
        image = GREY[mask] + random.integers(-20, 20, mask.shape)
        Image.fromarray(image.astype(np.uint8)).save(folder / "images" / f"p{number}.png")
        Image.fromarray(mask).save(folder / "masks" / f"p{number}.png")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pictures as one and the same folder: whoever changes it takes a copy."""
    return write_pictures(tmp_path_factory.mktemp("pictures"))


def recipe_for(
    task: str = "binary",
    *,
    augment: Augment = AUGMENT,
    model: Model | None = None,
    val: tuple[str, ...] = ("p8", "p9"),
    test: tuple[str, ...] = ("p7",),
    card: Card | None = None,
    **train: Any,  # noqa: ANN401, any field of the recipe
) -> Recipe:
    binary = task == "binary"
    data = Data(
        task=task,  # type: ignore[arg-type]
        classes=("square",) if binary else LABELS,
        background="ground" if binary else None,
        palette=("#000000", "#ffffff", "#777777")[: 2 if binary else 3],
        channels=("gray",),
        mask_values={str(i): "ground" if binary and i == 2 else name for i, name in enumerate(LABELS)},
        val=val,
        test=test,
    )
    fields = {"epochs": 3, "batch_size": 2, "crop": 32, "learning_rate": 0.02, "ema": 0.8}
    model = model or Model(widths=(4, 8))
    return Recipe(data=data, model=model, augment=augment, train=Train(**(fields | train)), card=card)


def train(recipe: Recipe, folder: Path, run_dir: Path, *, resume: bool = False) -> Path:
    return fit(recipe, folder, run_dir, resume=resume, device="cpu")


def refusal(recipe: Recipe, folder: Path, run_dir: Path, *, resume: bool = False) -> str:
    with pytest.raises(ValueError, match=r"\A") as caught:
        train(recipe, folder, run_dir, resume=resume)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def metrics(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def outcome(run_dir: Path) -> dict[str, Any]:
    """All that a run leaves and that doesn't depend on the clock."""
    checkpoint = run_dir / "checkpoint"
    names = ("model.safetensors", "config.json", "split.json", "scores.json")
    return {
        **{name: (checkpoint / name).read_bytes() for name in names},
        "metrics": [{**row, "seconds": None} for row in metrics(run_dir)],
        "files": sorted(path.name for path in run_dir.iterdir()),
        "state": {key: value.numpy().tobytes() for key, value in state_of(run_dir)[0].items()},
    }


def state_of(run_dir: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata of a run's state, read without the package."""
    with safe_open(run_dir / "state.safetensors", framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118, not a dict


def change(state: Path, how: Callable[[dict[str, torch.Tensor], dict[str, str]], object]) -> None:
    """Write a state again whose tensors or metadata were changed."""
    tensors, metadata = state_of(state.parent)
    how(tensors, metadata)
    save_file(tensors, state, metadata)


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int, *numbers: signal.Signals) -> None:
    """Let signals arrive while that step (of a process) is computed."""
    done = 0
    compute = loop.step

    def stopping(*arguments: Any, **settings: Any) -> float:  # noqa: ANN401
        nonlocal done
        done += 1
        if done == step:
            for number in numbers:
                signal.raise_signal(number)
        return compute(*arguments, **settings)

    monkeypatch.setattr(loop, "step", stopping)


@pytest.fixture(scope="module")
def uninterrupted(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("runs") / "uninterrupted"
    train(recipe_for(), folder, run_dir)
    return run_dir


@pytest.mark.parametrize("task", ["binary", "multiclass", "one-vs-rest"])
def test_an_easy_task_is_learnt_and_the_checkpoint_is_complete(task: str, folder: Path, tmp_path: Path) -> None:
    recipe = recipe_for(task, augment=Augment(), model=Model(widths=(8, 16)), epochs=8, batch_size=1)
    checkpoint = train(recipe, folder, tmp_path / "run")
    assert checkpoint == tmp_path / "run" / "checkpoint"
    assert sorted(path.name for path in checkpoint.iterdir()) == [
        "README.md", "calibration.json", "config.json", "expected.safetensors", "gate.safetensors",
        "model.safetensors", "reliability.png", "sample.png", "scores.json", "split.json", "thresholds.png",
    ]  # fmt: skip
    (outcome,) = verify(UNet.from_pretrained(checkpoint), ["float32"])
    assert (outcome.passed, outcome.agreement) == (True, 1)
    rows = metrics(tmp_path / "run")
    assert [(row["epoch"], row["step"]) for row in rows] == [(str(i), str(i * 7)) for i in range(1, 9)]
    losses = [float(row["train_loss"]) for row in rows]
    assert losses[-1] < 0.6 * losses[0]
    scores = json.loads((checkpoint / "scores.json").read_text())
    assert scores.keys() == {"val", "test"}
    for split in scores.values():
        assert split["dice"].keys() == set(recipe.data.classes)
        assert min(split["dice"].values()) > 0.9
    split = json.loads((checkpoint / "split.json").read_text())
    digests = {p.stem: hashlib.sha256(p.read_bytes()).hexdigest()[:16] for p in (folder / "images").iterdir()}
    parts = {"train": range(7), "val": (8, 9), "test": (7,)}
    assert split == {part: {f"p{i}": {f"p{i}": digests[f"p{i}"]} for i in some} for part, some in parts.items()}
    predictor = Predictor.from_pretrained(checkpoint, device="cpu")
    labels = predictor(folder / "images" / "p9.png").labels()[0]
    truth = np.asarray(Image.open(folder / "masks" / "p9.png"))
    assert (labels == (truth == 1 if task == "binary" else truth)).mean() > 0.95


def test_the_card_says_to_the_hub_and_to_a_reader_what_was_measured(folder: Path, tmp_path: Path) -> None:
    described = Card(title='A "title": yes', summary="S.", license="cc0-1.0", data="D.", limits="L.", tags=("dark",))
    checkpoint = train(recipe_for("multiclass", epochs=1, card=described), folder, tmp_path / "run")
    card = ModelCard.load(checkpoint / "README.md")
    scores = json.loads((checkpoint / "scores.json").read_text())
    assert (card.data.license, card.data.library_name) == ("cc0-1.0", "unetseg")
    assert card.data.tags == ["image-segmentation", "unet", "dark"]
    told = {(r.dataset_split, r.metric_type): r.metric_value for r in card.data.eval_results}
    assert told == {
        (split, key): pytest.approx(scores[split][key], abs=1e-4)
        for split in ("val", "test")
        for key in ("mean_group_dice", "miou", "accuracy")
    }
    assert f"| Dice, bar | {scores['val']['dice']['bar']:.3f} | {scores['test']['dice']['bar']:.3f} |" in card.text
    assert "7 pictures of 7 groups" in card.text
    assert "3 steps of 2 crops of 32 pixels" in card.text


def test_the_same_seed_gives_the_same_bytes_wherever_it_runs(folder: Path, uninterrupted: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor() as threads:  # not the main thread, which alone may take signals
        threads.submit(train, recipe_for(), folder, tmp_path / "thread").result()
    assert outcome(tmp_path / "thread") == outcome(uninterrupted)
    train(recipe_for(workers=1, cache_gb=0.0), folder, tmp_path / "worker")
    assert outcome(tmp_path / "worker") == outcome(uninterrupted)
    train(recipe_for(seed=1), folder, tmp_path / "other")
    assert outcome(tmp_path / "other")["model.safetensors"] != outcome(uninterrupted)["model.safetensors"]


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


@pytest.mark.parametrize("stops", [(1,), (2, 2), (3,), (4, 1, 1), (9,)])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_stopped_at_any_step_and_resumed_ends_with_the_same_bytes(
    stops: tuple[int, ...], number: signal.Signals, folder: Path, uninterrupted: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    before = handlers()
    for count, stop in enumerate(stops):
        with monkeypatch.context() as patch:
            stop_at(patch, stop, number)
            with pytest.raises(Stopped, match=rf"step {sum(stops[: count + 1])} of 9; go on with --resume"):
                train(recipe_for(), folder, tmp_path, resume=count > 0)
        assert handlers() == before
        position = json.loads(state_of(tmp_path)[1]["position"])
        assert position["epoch"] * PER_EPOCH + position["batch"] == position["step"] == sum(stops[: count + 1])
    train(recipe_for(), folder, tmp_path, resume=True)
    assert outcome(tmp_path) == outcome(uninterrupted)


def test_a_run_of_another_optimizer_and_average_goes_on_with_the_same_bytes_too(
    folder: Path, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_for(optimizer="muon", swa=0.3)
    train(recipe, folder, tmp_path / "whole")
    assert outcome(tmp_path / "whole")["model.safetensors"] != outcome(uninterrupted)["model.safetensors"]
    with monkeypatch.context() as patch:
        stop_at(patch, 5, signal.SIGTERM)
        with pytest.raises(Stopped):
            train(recipe, folder, tmp_path / "run")
    train(recipe, folder, tmp_path / "run", resume=True)
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


def test_a_run_may_go_on_with_another_card_and_other_settings_of_the_machine(
    folder: Path, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, 5, signal.SIGTERM)
        with pytest.raises(Stopped):
            train(recipe_for(), folder, tmp_path)
    card = Card(title="T", summary="S.", license="other", data="D.", limits="L.")
    checkpoint = train(recipe_for(card=card, workers=1, cache_gb=0.0), folder, tmp_path, resume=True)
    assert (checkpoint / "model.safetensors").read_bytes() == outcome(uninterrupted)["model.safetensors"]
    assert "# T\n" in (checkpoint / "README.md").read_text()


def test_a_run_stopped_while_it_validates_ends_there(
    folder: Path, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate = loop.evaluate

    def stopping(*arguments: Any) -> object:  # noqa: ANN401
        signal.raise_signal(signal.SIGINT)
        return evaluate(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "evaluate", stopping)
        with pytest.raises(Stopped, match="step 3 of 9"):
            train(recipe_for(), folder, tmp_path)
    train(recipe_for(), folder, tmp_path, resume=True)
    assert outcome(tmp_path) == outcome(uninterrupted)


def test_a_second_ctrl_c_does_not_wait_for_the_step(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at(monkeypatch, 2, signal.SIGINT, signal.SIGINT)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore Ctrl-C
    try:
        with pytest.raises(KeyboardInterrupt):
            train(recipe_for(), folder, tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not (tmp_path / "state.safetensors").exists()


@pytest.mark.parametrize(
    ("owner", "name"), [(loop, "evaluate"), (hub, "save"), (loop.Journal, "add"), (loop, "save_state")]
)
def test_a_run_that_dies_at_the_end_of_an_epoch_repeats_it(
    owner: object, name: str, folder: Path, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the last step and the saved state: what was written of the epoch so far must not count twice."""
    calls = 0
    original = getattr(owner, name)

    def dying(*arguments: Any) -> object:  # noqa: ANN401
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return original(*arguments)

    recipe = recipe_for(keep="last")  # every epoch saves a checkpoint
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, dying)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, folder, tmp_path / "died")
    train(recipe, folder, tmp_path / "died", resume=True)
    train(recipe, folder, tmp_path / "whole")
    assert outcome(tmp_path / "died") == outcome(tmp_path / "whole")


def test_a_run_that_dies_while_it_validates_repeats_no_step(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "evaluate", dying)
    with pytest.raises(KeyboardInterrupt):
        train(recipe_for(), folder, tmp_path)
    assert json.loads(state_of(tmp_path)[1]["position"])["step"] == 3


def test_a_checkpoint_says_what_it_was_trained_on_before_its_run_ends(
    folder: Path, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at(monkeypatch, 4, signal.SIGTERM)
    with pytest.raises(Stopped):
        train(recipe_for(), folder, tmp_path)
    split = (tmp_path / "checkpoint" / "split.json").read_bytes()
    assert split == (uninterrupted / "checkpoint" / "split.json").read_bytes()


def test_a_start_that_does_not_tell_its_pictures_is_said(
    folder: Path, uninterrupted: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    start = shutil.copytree(uninterrupted / "checkpoint", tmp_path / "start")
    (start / "split.json").unlink()
    fit(recipe_for(epochs=1), folder, tmp_path / "run", init=start, device="cpu")
    assert "has no split.json: if it knows pictures that are scored here, scores will flatter" in caplog.text


def test_a_finished_run_can_be_resumed_and_only_its_scores_are_taken_again(
    folder: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    shutil.copytree(uninterrupted, tmp_path / "run")
    (tmp_path / "run" / "checkpoint" / "scores.json").unlink()
    train(recipe_for(), folder, tmp_path / "run", resume=True)
    assert outcome(tmp_path / "run") == outcome(uninterrupted)


def test_the_state_is_safetensors_with_all_that_a_run_needs(uninterrupted: Path) -> None:
    tensors, metadata = state_of(uninterrupted)
    network = UNet(config_for("binary")).state_dict()
    assert {key.split(".")[0] for key in tensors} == {"network", "average", "optimizer"}
    for part in ("network", "average"):
        assert {key.removeprefix(f"{part}.") for key in tensors if key.startswith(part)} == network.keys()
    assert {key.split(".")[2] for key in tensors if key.startswith("optimizer")} == {"step", "exp_avg", "exp_avg_sq"}
    assert not torch.equal(tensors["network.head.weight"], tensors["average.head.weight"])
    position = json.loads(metadata["position"])
    assert (position["epoch"], position["batch"], position["step"]) == (3, 0, 9)
    assert position["best"] == pytest.approx(
        max(float(row["mean_group_dice"]) for row in metrics(uninterrupted)), abs=1e-5
    )


def test_with_swa_the_checkpoint_is_the_mean_of_the_last_steps_and_the_rate_stays(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates, heads, compute = [], [], loop.step

    def noted(*arguments: Any, **settings: Any) -> float:  # noqa: ANN401
        loss = compute(*arguments, **settings)
        (optimizer,) = arguments[3]
        rates.append(optimizer.param_groups[0]["lr"])
        heads.append(optimizer.param_groups[0]["params"][-2].detach().clone())
        return loss

    monkeypatch.setattr(loop, "step", noted)
    checkpoint = train(recipe_for(swa=0.4, keep="last"), folder, tmp_path)
    assert len(heads) == 9
    mean = torch.stack(heads[3:]).mean(dim=0)  # 0.4 of 9 steps are 3 whole ones
    torch.testing.assert_close(hub.load(checkpoint)[1]["head.weight"], mean)
    assert rates[PER_EPOCH:] == [recipe_for().train.learning_rate] * (9 - PER_EPOCH)


def test_the_batch_norms_of_a_mean_network_are_measured_on_the_crops_of_the_last_epoch(
    folder: Path, tmp_path: Path
) -> None:
    recipe = recipe_for(swa=0.2, keep="last", learning_rate=0.1)
    network = UNet.from_pretrained(train(recipe, folder, tmp_path))
    training = [e for e in find_examples(recipe.data, folder, recipe.train.seed) if e.split == "train"]
    crops = Crops(Pictures(training, recipe), network.config)
    images = torch.cat([crops.finished(collate([crops[key] for key in keys]))[0] for keys in crops.batches(2)])
    with torch.no_grad():
        values = network.contracting[0][0](images)  # type: ignore[index, operator]
    norm = network.contracting[0][1]  # type: ignore[index]
    torch.testing.assert_close(norm.running_mean, values.mean(dim=(0, 2, 3)), rtol=0.02, atol=0.01)


def test_without_ema_the_average_is_the_network(folder: Path, tmp_path: Path) -> None:
    train(recipe_for(ema=0.0, epochs=1, keep="last"), folder, tmp_path)
    tensors, _ = state_of(tmp_path)
    weights = hub.load(tmp_path / "checkpoint")[1]
    for key in weights:
        assert torch.equal(tensors[f"average.{key}"], tensors[f"network.{key}"])
        assert torch.equal(weights[key], tensors[f"network.{key}"])


def test_keep_says_whether_the_best_checkpoint_or_the_last_stays(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "data")
    for path in (tmp_path / "data" / "masks").glob("p[89].png"):  # the better the network, the worse the score
        Image.fromarray((np.asarray(Image.open(path)) + 1) % 3).save(path)
    kept = {}
    for keep in ("best", "last"):
        checkpoint = train(recipe_for("multiclass", keep=keep, epochs=8), tmp_path / "data", tmp_path / keep)
        column = [float(row["mean_group_dice"]) for row in metrics(tmp_path / keep)]
        kept[keep] = json.loads((checkpoint / "scores.json").read_text())["val"]["mean_group_dice"]
    assert max(column) > column[-1] + 0.02
    assert kept == {"best": pytest.approx(max(column), abs=1e-5), "last": pytest.approx(column[-1], abs=1e-5)}


@pytest.mark.parametrize(("last", "kept"), [(0.0, "first"), (None, "last")])
def test_false_alarms_are_no_better_than_nothing_found_where_nothing_is(
    last: float | None, kept: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of validation pictures without any class the mean Dice is unknown, and 0 as soon as one is found."""
    told = iter([None, last])
    monkeypatch.setattr(loop, "scores", lambda _: {"mean_group_dice": next(told), "miou": None, "accuracy": 1.0})
    checkpoint = train(recipe_for(epochs=2), folder, tmp_path)
    average = state_of(tmp_path)[0]["average.head.weight"]
    assert torch.equal(hub.load(checkpoint)[1]["head.weight"], average) == (kept == "last")


def test_validation_leaves_gaps_between_and_always_ends_the_run(folder: Path, tmp_path: Path) -> None:
    train(recipe_for(validate_every=2), folder, tmp_path)
    assert [row["mean_group_dice"] != "" for row in metrics(tmp_path)] == [False, True, True]


def test_validation_pictures_without_the_class_have_no_score_and_do_no_harm(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "data")
    for name in ("p8", "p9"):
        shutil.copy(tmp_path / "data" / "images" / "p7.png", tmp_path / "data" / "images" / f"{name}.png")
        Image.new("L", (32, 32)).save(tmp_path / "data" / "masks" / f"{name}.png")
        Image.fromarray(np.full((32, 32), 40, dtype=np.uint8)).save(tmp_path / "data" / "images" / f"{name}.png")
    checkpoint = train(recipe_for(epochs=10), tmp_path / "data", tmp_path / "run")
    assert metrics(tmp_path / "run")[-1]["mean_group_dice"] == ""
    assert json.loads((checkpoint / "scores.json").read_text())["val"]["mean_group_dice"] is None
    tensors, _ = state_of(tmp_path / "run")
    saved = hub.load(checkpoint)[1]  # with nothing to choose by, the last weights
    assert all(torch.equal(tensors[f"average.{name}"], value) for name, value in saved.items())


def test_generated_pictures_are_scored_and_shown_apart(folder: Path, tmp_path: Path) -> None:
    recipe = recipe_for(model=Model(widths=(4, 8), working_size=32), epochs=1, synthetic="ct", synthetic_share=0.3)
    checkpoint = train(recipe, folder, tmp_path)
    assert json.loads((checkpoint / "scores.json").read_text()).keys() == {"val", "test", "synthetic"}
    with Image.open(checkpoint / "views.png") as views:
        assert (views.height, views.mode) == (256, "RGB")
    # two beside the seven of train, a crop each
    assert "22% of the crops were cut from generated pictures" in (checkpoint / "README.md").read_text()


def test_a_run_folder_in_use_is_not_overwritten(folder: Path, uninterrupted: Path) -> None:
    before = outcome(uninterrupted)
    message = refusal(recipe_for(), folder, uninterrupted)
    assert str(uninterrupted) in message
    assert "--resume" in message
    assert "--run-dir" in message
    assert outcome(uninterrupted) == before


def test_there_must_be_something_to_resume(folder: Path, tmp_path: Path) -> None:
    assert "nothing to resume" in refusal(recipe_for(), folder, tmp_path / "none", resume=True)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        (recipe_for(learning_rate=0.01), "train.learning_rate changed"),
        (recipe_for(augment=Augment(), seed=3), "augment.flip"),
        (recipe_for(val=("p8",)), "data.val"),
    ],
)
def test_another_recipe_is_no_resumption(changed: Recipe, field: str, folder: Path, uninterrupted: Path) -> None:
    before = outcome(uninterrupted)
    message = refusal(changed, folder, uninterrupted, resume=True)
    assert field in message
    assert "--run-dir" in message
    assert outcome(uninterrupted) == before


def test_pictures_that_changed_are_no_resumption(folder: Path, uninterrupted: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "data")
    Image.new("L", (32, 32), 200).save(tmp_path / "data" / "images" / "p0.png")
    assert "measured.mean" in refusal(recipe_for(), tmp_path / "data", uninterrupted, resume=True)


def test_a_checkpoint_whose_saving_was_killed_is_there_again(folder: Path, uninterrupted: Path, tmp_path: Path) -> None:
    """Killed between the two renames of a save, and once more while writing."""
    run = tmp_path / "run"
    shutil.copytree(uninterrupted, run)
    (run / "checkpoint").rename(run / ".checkpoint.123.old")
    for leftover in (".checkpoint.123.new", ".checkpoint.99.new"):
        (run / leftover).mkdir()
    (run / ".state.safetensors.99.tmp").write_bytes(b"half")
    train(recipe_for(), folder, run, resume=True)
    assert outcome(run) == outcome(uninterrupted)


def test_other_pictures_are_no_resumption(folder: Path, uninterrupted: Path, tmp_path: Path) -> None:
    """A picture that comes or goes can move others from training to validation."""
    shutil.copytree(folder, tmp_path / "data")
    for name in ("images", "masks"):
        (tmp_path / "data" / name / "p0.png").rename(tmp_path / "data" / name / "new.png")
    message = refusal(recipe_for(), tmp_path / "data", uninterrupted, resume=True)
    assert "pictures.train" in message
    assert "--run-dir" in message


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: path.write_bytes(path.read_bytes()[:100]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\x80\x04N." * 100),
        lambda path: save_file({"a": torch.zeros(1)}, path),
        lambda path: change(path, lambda tensors, _: tensors.pop("network.head.bias")),
        lambda path: change(path, lambda tensors, _: tensors.update({"network.tail": torch.zeros(1)})),
        lambda path: change(path, lambda tensors, _: tensors.update({"average.head.bias": torch.zeros(7)})),
        lambda path: change(path, lambda tensors, _: tensors.update({"network.head.bias": torch.zeros(1).half()})),
        lambda path: change(path, lambda tensors, _: tensors.pop("optimizer.0.exp_avg")),
        lambda path: change(path, lambda tensors, _: tensors.update({"optimizer.x": torch.zeros(1)})),
        lambda path: change(path, lambda tensors, _: tensors["network.head.bias"].fill_(torch.nan)),
        lambda path: change(path, lambda _, metadata: metadata.update(position="[" * 100_000)),
        lambda path: change(path, lambda _, metadata: metadata.update(recipe='{"a":' * 100_000)),
        lambda path: change(path, lambda _, metadata: metadata.update(recipe="[]")),
        lambda path: change(path, lambda _, metadata: metadata.update(recipe='{"data": 3}')),
        lambda path: change(path, lambda _, metadata: metadata.update(position='{"epoch": "one"}')),
        lambda path: change(path, lambda _, metadata: metadata.update(position='{"epoch": -1}')),
        lambda path: change(path, lambda _, metadata: metadata.update(position='{"batches": 1}')),
    ],
    ids=[
        "cut",
        "cut in the header",
        "empty",
        "a pickle",
        "of something else",
        "a tensor less",
        "a tensor more",
        "another shape",
        "another type",
        "a moment less",
        "a moment more",
        "no number",
        "a deep position",
        "a deep recipe",
        "a list for a recipe",
        "a number for a section",
        "a text for a number",
        "a negative number",
        "an unknown name",
    ],
)
def test_a_damaged_state_is_told_with_a_way_out(
    damage: Callable[[Path], None], folder: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    shutil.copytree(uninterrupted, tmp_path / "run")
    state = tmp_path / "run" / "state.safetensors"
    damage(state)
    message = refusal(recipe_for(), folder, tmp_path / "run", resume=True)
    assert str(state) in message
    assert "damaged" in message
    assert "\n" not in message
    assert len(message) < 500
    assert "--run-dir" in message  # without --resume this folder would be refused


def test_a_loss_that_is_no_number_stops_the_run_before_it_is_saved(folder: Path, tmp_path: Path) -> None:
    recipe = recipe_for()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "segmentation_loss", lambda logits, *_, **__: logits.sum() * torch.inf)
        message = refusal(recipe, folder, tmp_path)
    assert "the loss became nan at step 0 on p" in message
    assert "lower learning_rate" in message
    assert not (tmp_path / "checkpoint").exists()


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("rate", [1e12, 1e30])
def test_the_step_that_leaves_the_range_is_named_and_what_was_saved_stays(
    rate: float, optimizer: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rate is a sound one at first."""
    usual = loop.learning_rate
    monkeypatch.setattr(loop, "learning_rate", lambda step, *given: usual(step, *given) if step < 4 else rate)
    message = refusal(recipe_for(optimizer=optimizer, save_minutes=1e-9), folder, tmp_path)
    assert re.match(r"step 4 took the weights out of range \(their norm is \S+\), at a learning rate of 1e\+", message)
    assert "--run-dir with a lower one" in message
    tensors, metadata = state_of(tmp_path)
    assert json.loads(metadata["position"])["step"] == 4
    for weights in (tensors, hub.load(tmp_path / "checkpoint")[1]):
        assert all(bool((value.abs() < 1e3).all()) for value in weights.values())


def test_a_rate_that_is_too_high_from_the_first_step_saves_nothing(folder: Path, tmp_path: Path) -> None:
    assert "step 0 took the weights out of range" in refusal(recipe_for(learning_rate=1e30), folder, tmp_path)
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (Model(widths=(4, 8)), {"crop": 2}),
        (Model(widths=(4, 4, 4, 4, 4)), {"crop": 16}),
        (Model(widths=(4, 4, 4, 4, 4), scales=(1.0, 0.5)), {"crop": 32}),
        (Model(widths=(4, 4, 4, 4, 4)), {"crop": 32, "coarse_epochs": 1}),
    ],
)
def test_a_single_value_for_batch_norm_is_told_before_training(
    model: Model, fields: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    """A batch of two crops has two."""
    fields = {"epochs": 2, **fields}
    recipe = recipe_for(model=model, batch_size=1)
    recipe = recipe.model_copy(update={"train": recipe.train.model_copy(update=fields)})
    assert "batch norm needs two; take a larger crop or batch_size" in refusal(recipe, folder, tmp_path / "one")
    two = recipe.model_copy(update={"train": recipe.train.model_copy(update={"batch_size": 2, "epochs": 2})})
    train(two, folder, tmp_path / "two")


def test_a_loss_that_is_no_number_names_the_pictures_also_after_a_resumption(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_for(epochs=1)
    with monkeypatch.context() as patch:
        stop_at(patch, 2, signal.SIGTERM)
        with pytest.raises(Stopped):
            train(recipe, folder, tmp_path)
    tensors, metadata = state_of(tmp_path)
    tensors["network.head.bias"].fill_(3e38)
    save_file(tensors, tmp_path / "state.safetensors", metadata)
    names: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(loop.Crops, "__getitem__", noting(loop.Crops.__getitem__, names))
        message = refusal(recipe, folder, tmp_path, resume=True)
    assert len(names) == 2
    assert f"nan at step 2 on {', '.join(names)};" in message


def noting(read: Callable[..., Any], names: list[str]) -> Callable[..., Any]:
    """A crop's reader that notes whose crop it gave."""

    def noted(crops: loop.Crops, key: tuple[int, int]) -> object:
        names.append(crops.pictures.examples[crops.order[key[1]]].image.name)
        return read(crops, key)

    return noted


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_mask_that_does_not_fit_is_told_before_training_in_every_split(
    split: str, folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "data")
    Image.new("L", (32, 32), 9).save(tmp_path / "data" / "masks" / "p3.png")
    recipe = recipe_for(**{"val": ("p8",), "test": ("p9",)} | {split: ("p3",)})  # type: ignore[arg-type]
    assert "p3.png holds values that mask_values does not name: 9" in refusal(recipe, tmp_path / "data", tmp_path / "r")
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(("val", "empty"), [(tuple(f"p{i}" for i in range(10)), "train"), ((), "val")])
def test_an_empty_split_is_refused(val: tuple[str, ...], empty: str, folder: Path, tmp_path: Path) -> None:
    message = refusal(recipe_for(val=val, test=()), folder, tmp_path / "run")
    assert f"the {empty} split" in message
    assert "10 pictures in all" in message
    assert not (tmp_path / "run").exists()


def test_every_step_follows_the_schedule_and_the_table_holds_the_mean_loss(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts, rates, losses = [], [], []
    compute = loop.step

    def noted(*arguments: Any, **settings: Any) -> float:  # noqa: ANN401
        (optimizer,) = arguments[3]
        starts.append(optimizer.param_groups[0]["params"][-2].clone())  # the weights of the head
        rates.append(optimizer.param_groups[0]["lr"])
        losses.append(compute(*arguments, **settings))
        return losses[-1]

    monkeypatch.setattr(loop, "step", noted)
    recipe = recipe_for()
    train(recipe, folder, tmp_path / "run")
    assert rates == [optimisation.learning_rate(step, PER_EPOCH, recipe.train) for step in range(9)]
    means = [np.mean(losses[i : i + PER_EPOCH]) for i in range(0, 9, PER_EPOCH)]
    assert [float(row["train_loss"]) for row in metrics(tmp_path / "run")] == pytest.approx(means, abs=1e-5)
    train(recipe_for(seed=1, epochs=1), folder, tmp_path / "other")
    assert not torch.equal(starts[0], starts[9])  # another seed, other random weights to begin with


def test_a_network_trains_in_channels_last_in_bfloat16_and_on_weighted_classes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, weights = set(), []
    forward, loss = UNet.forward, loop.segmentation_loss

    def noted(network: UNet, x: torch.Tensor) -> torch.Tensor:
        if network.training:
            last = x.is_contiguous(memory_format=torch.channels_last)
            of_weights = network.contracting[1][3].weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[index]
            seen.add((last, of_weights, torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")))
        return forward(network, x)

    def noted_loss(*arguments: Any, **settings: Any) -> torch.Tensor:  # noqa: ANN401
        weights.append(settings["weights"])
        return loss(*arguments, **settings)

    monkeypatch.setattr(loop, "has_bfloat16", lambda _: True)
    monkeypatch.setattr(loop, "segmentation_loss", noted_loss)
    monkeypatch.setattr(UNet, "forward", noted)
    train(recipe_for("multiclass", epochs=1, balance=1.0), folder, tmp_path)
    assert seen == {(True, True, True, torch.bfloat16)}
    assert len(weights) == PER_EPOCH
    assert all(len(set(found.tolist())) == 3 for found in weights)


def test_the_panel_is_renewed_every_epoch(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(loop.Journal, "panel", lambda *_: drawn.append(1))
    train(recipe_for(validate_every=3), folder, tmp_path)
    assert len(drawn) == 3


def test_the_coarse_epochs_train_at_half_the_resolution_and_the_others_at_the_scales(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[tuple[int, ...]] = []
    compute = loop.step

    def noted(*arguments: Any, **settings: Any) -> float:  # noqa: ANN401
        images, labels = arguments[1:3]
        sizes.append((*images.shape[2:], *labels.shape[1:]))
        return compute(*arguments, **settings)

    monkeypatch.setattr(loop, "step", noted)
    model = Model(widths=(4, 8), scales=(1.0, 0.5))
    checkpoint = train(recipe_for(coarse_epochs=2, model=model), folder, tmp_path / "run")
    turns = [(16 if step % 2 else 32,) * 4 for step in range(2 * PER_EPOCH, 3 * PER_EPOCH)]
    assert sizes == [(16,) * 4] * 2 * PER_EPOCH + turns
    card = (checkpoint / "README.md").read_text()
    assert "in the first 2 epochs at half the resolution, then in turn at 1 and 0.5 times the resolution, " in card
    assert SegmentationConfig.from_file(checkpoint / "config.json").scales == (1.0, 0.5)


def loss_of(network: UNet) -> optimisation.Loss:
    return lambda images, labels: segmentation_loss(network(images), labels, network.config, dice_weight=0)


def gradients_of(network: UNet, images: torch.Tensor, labels: torch.Tensor, **settings: Any) -> list[torch.Tensor]:  # noqa: ANN401
    optimizer = torch.optim.AdamW(network.parameters(), lr=0)
    optimisation.step(loss_of(network), images, labels, [optimizer], **settings)
    return [parameter.grad.clone() for parameter in network.parameters()]  # type: ignore[union-attr]


def test_a_step_clips_the_gradient_of_its_own_batch() -> None:
    network = UNet(config_for("binary")).eval()
    images, labels = torch.randn(2, 1, 16, 16), torch.randint(0, 2, (2, 16, 16))
    gradients = [gradients_of(network, images, labels, clip_norm=0.01) for _ in range(2)]
    assert torch.stack([gradient.norm() for gradient in gradients[0]]).norm() == pytest.approx(0.01, rel=1e-3)
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize(("scale", "shift"), [(1.0, torch.nan), (torch.inf, 0.0)], ids=["loss", "gradient"])
def test_what_is_not_finite_changes_no_weight(scale: float, shift: float) -> None:
    """The gradient alone is not finite where the loss is 0 times an infinite slope, as of a root at 0."""
    network = UNet(config_for("binary")).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)

    def loss(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        value = network(images).mean()
        return (value - value.detach()).abs().sqrt() if scale == torch.inf else value + shift

    given = torch.randn(2, 1, 16, 16), torch.zeros(2, 16, 16)
    assert math.isnan(optimisation.step(loss, *given, [optimizer], clip_norm=1))
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("parts", [2, 3, 4])
def test_a_batch_in_parts_has_the_gradient_of_the_whole(parts: int) -> None:
    """With batch norms that don't look at the batch, and a loss that is a mean over pixels."""
    network = UNet(config_for("binary")).eval()
    images, labels = torch.randn(4, 1, 16, 16), torch.randint(0, 2, (4, 16, 16))
    whole = gradients_of(network, images, labels, clip_norm=1e9)
    in_parts = gradients_of(network, images, labels, clip_norm=1e9, parts=parts)
    torch.testing.assert_close(in_parts, whole, atol=1e-6, rtol=1e-4)


def test_a_device_out_of_memory_gets_smaller_parts_until_they_fit(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A network that can't hold more than one picture at a time, as a GPU might not."""
    forward = UNet.forward

    def hungry(network: UNet, x: torch.Tensor) -> torch.Tensor:
        if network.training and len(x) > 1:
            raise torch.OutOfMemoryError
        return forward(network, x)

    monkeypatch.setattr(UNet, "forward", hungry)
    train(recipe_for(epochs=1, batch_size=4), folder, tmp_path)
    assert "batches go through in 4 parts from now on" in capsys.readouterr().out
    monkeypatch.setattr(UNet, "forward", lambda network, x: forward(network, x) if not network.training else out())
    assert "too little memory for a batch of 4 crops of 32 pixels" in refusal(
        recipe_for(epochs=1, batch_size=4), folder, tmp_path / "none"
    )


def out() -> torch.Tensor:
    raise torch.OutOfMemoryError


@given(warmup=st.floats(0, 5), epochs=st.integers(1, 6), per_epoch=st.integers(1, 30))
def test_the_learning_rate_rises_to_its_peak_and_falls_to_0(warmup: float, epochs: int, per_epoch: int) -> None:
    settings = Train(learning_rate=0.5, warmup_epochs=warmup, epochs=epochs)
    rates = [optimisation.learning_rate(step, per_epoch, settings) for step in range(epochs * per_epoch + 1)]
    assert all(0 < rate <= 0.5 for rate in rates[:-1])
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] == pytest.approx(0, abs=1e-12)
    assert top == pytest.approx(min(warmup, epochs / 2) * per_epoch, abs=1)


@given(decay=st.floats(0.01, 0.999), steps=st.integers(1, 30))
def test_the_average_is_one_of_all_networks_so_far(decay: float, steps: int) -> None:
    """Of a weight that is 1 from the first step on, what is missing to 1 is the share of the random start."""
    average, network = (UNet(config_for("binary")) for _ in range(2))
    with torch.no_grad():
        for net, value in ((average, 0), (network, 1)):
            net.head.weight.fill_(value)
            net.contracting[0][1].running_mean.fill_(value)  # type: ignore[index, operator, union-attr]
            net.contracting[0][1].num_batches_tracked.fill_(value)  # type: ignore[index, operator, union-attr]
    share = 1.0
    for step in range(1, steps + 1):
        optimisation.update_average(average, network, decay, step)
        share *= min(decay, step / (step + 10))
    state = average.state_dict()
    torch.testing.assert_close(state["head.weight"], torch.full_like(state["head.weight"], 1 - share))
    torch.testing.assert_close(state["contracting.0.1.running_mean"], torch.full((4,), 1 - share))
    assert state["contracting.0.1.num_batches_tracked"] == 1


def test_a_run_can_start_from_a_checkpoint_that_fits(folder: Path, uninterrupted: Path, tmp_path: Path) -> None:
    start = uninterrupted / "checkpoint"
    nearly_still = recipe_for(epochs=1, learning_rate=1e-12, warmup_epochs=0, weight_decay=0, ema=0, keep="last")
    checkpoint = fit(nearly_still, folder, tmp_path / "run", init=start, device="cpu")
    before, after = UNet.from_pretrained(start), UNet.from_pretrained(checkpoint)
    torch.testing.assert_close(after.head.weight, before.head.weight, atol=1e-6, rtol=0)
    digest = hashlib.sha256((start / "model.safetensors").read_bytes()).hexdigest()[:12]
    began = f"Training began with the weights of {start.parent.name}/checkpoint (SHA-256 {digest}). "
    assert began in (checkpoint / "README.md").read_text()
    (checkpoint / "README.md").unlink()
    fit(nearly_still, folder, tmp_path / "run", resume=True, device="cpu")
    assert began in (checkpoint / "README.md").read_text()


def test_a_checkpoint_with_other_labels_gets_a_fresh_head_and_it_is_said(
    folder: Path, uninterrupted: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    start = uninterrupted / "checkpoint"
    still = recipe_for("multiclass", epochs=1, learning_rate=1e-12, warmup_epochs=0, weight_decay=0, ema=0)
    with caplog.at_level("INFO"):
        checkpoint = fit(still, folder, tmp_path / "run", init=start, device="cpu")
    assert "a fresh head" in caplog.text
    assert "ground, square (binary)" in caplog.text
    assert re.search(r"began with the weights of .*\); its head is new\. ", (checkpoint / "README.md").read_text())
    before, after = UNet.from_pretrained(start), UNet.from_pretrained(checkpoint)
    assert after.head.weight.shape[0] == 3
    for name, value in before.contracting.named_parameters():
        torch.testing.assert_close(after.contracting.get_parameter(name), value, atol=1e-6, rtol=0)


def test_a_start_that_knows_the_pictures_to_be_scored_is_said(
    folder: Path, uninterrupted: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other_val = recipe_for(epochs=1, val=("p0", "p1"), test=())
    checkpoint = fit(other_val, folder, tmp_path / "run", init=uninterrupted / "checkpoint", device="cpu")
    assert "was trained on 2 of the pictures that are scored here; scores will flatter" in caplog.text
    assert ", which were trained on 2 of the pictures scored here. " in (checkpoint / "README.md").read_text()


@pytest.mark.parametrize("text", ["{", "[]", '{"train": ["a"]}', '{"train": {"a": 1}}'])
def test_a_start_with_a_damaged_split_is_told(text: str, folder: Path, uninterrupted: Path, tmp_path: Path) -> None:
    start = shutil.copytree(uninterrupted / "checkpoint", tmp_path / "start")
    (start / "split.json").write_text(text)
    with pytest.raises(ValueError, match=r"split\.json is not such as a run writes it; get it again"):
        fit(recipe_for(), folder, tmp_path / "run", init=start, device="cpu")


def test_a_checkpoint_of_another_shape_is_no_start(folder: Path, uninterrupted: Path, tmp_path: Path) -> None:
    wider = recipe_for(model=Model(widths=(4, 16)))
    with pytest.raises(ValueError, match=r"has widths \[4, 8\], the recipe \[4, 16\]; start from one that fits"):
        fit(wider, folder, tmp_path / "run", init=uninterrupted / "checkpoint", device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_run_that_no_longer_improves_ends_early_also_when_resumed(folder: Path, tmp_path: Path) -> None:
    recipe = recipe_for(epochs=20, patience=2, learning_rate=1e-12, ema=0)
    train(recipe, folder, tmp_path)
    rows = metrics(tmp_path)
    assert len(rows) < 20
    best = max(range(len(rows)), key=lambda i: float(rows[i]["mean_group_dice"]))
    assert len(rows) == best + 1 + 2
    before = outcome(tmp_path)
    train(recipe, folder, tmp_path, resume=True)
    assert outcome(tmp_path) == before


def test_the_state_is_saved_between_epochs_too(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []

    def noted(path: Path, position: loop.Position, *arguments: Any) -> None:  # noqa: ANN401
        steps.append(position.step)

    monkeypatch.setattr(loop, "save_state", noted)
    train(recipe_for(save_minutes=1e-9), folder, tmp_path)
    assert steps == [1, 2, 3, 3, 3, 4, 5, 6, 6, 6, 7, 8, 9, 9, 9]  # after each step, and before and after validation


def test_a_run_shows_its_curves_and_validation_pictures(uninterrupted: Path) -> None:
    with Image.open(uninterrupted / "validation.png") as panel, Image.open(uninterrupted / "curves.png") as curves:
        assert panel.width > 4 * 256
        assert panel.height > 2 * 256
        assert np.asarray(panel).std() > 10
        assert curves.width > 2 * curves.height
        assert len(curves.convert("RGB").getcolors(10**6)) > 10  # type: ignore[arg-type]
