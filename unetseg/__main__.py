"""The command line: `python -m unetseg predict` and `evaluate`."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import PIL.Image

from .files import whole
from .formats import read_image
from .metrics import scores
from .predictor import Predictor
from .render import VIEWS

log = logging.getLogger("unetseg")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 when all went well, 1 with one sentence on stderr for each thing that did not."""
    parser = argparse.ArgumentParser(prog="unetseg", description=__doc__)
    commands = parser.add_subparsers(required=True)
    _add_predict(commands.add_parser("predict", help="segment pictures and write label maps or views"))
    _add_evaluate(commands.add_parser("evaluate", help="score a checkpoint on a split of a data folder"))
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        return int(options.run(options))
    except (ValueError, FileNotFoundError) as error:
        log.error("error: %s", error)
        return 1


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", help="a checkpoint folder, or a name under checkpoints/")
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the results; the current one unless given")
    parser.add_argument(
        "--view", choices=("labels", *VIEWS), default="labels", help="labels: a PNG of label ids with a palette"
    )
    parser.add_argument("--class", dest="class_name", help="for the views that show one class")
    parser.add_argument("--threshold", type=float, nargs="+", help="one for each class; the checkpoint's unless given")
    parser.add_argument(
        "--value-range", type=float, nargs=2, metavar=("LOW", "HIGH"), help="of the stored numbers, e.g. 0 4095"
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda, mps; auto takes the fastest")
    parser.set_defaults(run=_predict)


def _predict(options: argparse.Namespace) -> int:
    predictor = Predictor.from_pretrained(options.checkpoint, device=options.device)
    targets = {picture: options.out / f"{picture.stem}_{options.view}.png" for picture in options.pictures}
    if len(set(targets.values())) < len(targets):
        raise ValueError("two of the pictures have the same name; write them to different folders with --out")
    options.out.mkdir(parents=True, exist_ok=True)
    value_range = tuple(options.value_range) if options.value_range else None
    failed = 0
    for picture, target in targets.items():
        try:
            segmentation = predictor(read_image(picture, value_range=value_range))
            if options.view == "labels":
                segmentation.save(target, options.threshold)
            else:
                view = segmentation.view(options.view, class_name=options.class_name, thresholds=options.threshold)
                with whole(target) as temporary:
                    PIL.Image.fromarray(view).save(temporary, format="PNG")
        except ValueError as error:  # one bad picture leaves the others their turn
            log.error("error: %s", error)
            failed += 1
            continue
        for notice in segmentation.notices:
            log.warning("note: %s", notice)
        log.info("%s", target)
    return 1 if failed else 0


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", help="a checkpoint folder, or a name under checkpoints/")
    parser.add_argument("--recipe", type=Path, required=True, help="says how masks, groups and splits are read")
    parser.add_argument("--data", type=Path, required=True, help="the folder of images and masks")
    parser.add_argument("--split", choices=("train", "val", "test"), default="val")
    parser.add_argument("--json", type=Path, help="write the scores to this file too")
    parser.add_argument("--device", default="auto", help="cpu, cuda, mps; auto takes the fastest")
    parser.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> int:
    from .fitting import Recipe
    from .fitting.evaluation import check_same_labels, evaluate
    from .fitting.folder import find_examples

    recipe = Recipe.from_file(options.recipe)
    predictor = Predictor.from_pretrained(options.checkpoint, device=options.device)
    check_same_labels(predictor.config, recipe.data, options.checkpoint)
    found = find_examples(recipe.data, options.data, recipe.train.seed)
    examples = [example for example in found if example.split == options.split]
    if not examples:
        raise ValueError(f"the {options.split} split of {options.data} is empty; name another with --split")
    result = scores(evaluate(predictor, examples, recipe.data, progress=True))
    text = json.dumps(result, indent=1)
    if options.json:
        with whole(options.json) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    log.info("%s", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
