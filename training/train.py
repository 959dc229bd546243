"""Train on a folder, or by a recipe: `python training/train.py [FOLDER | RECIPE --data FOLDER]`.

A folder is examined first, and trained on if nothing stands against it. With nothing given: generated samples.
"""

from __future__ import annotations

import argparse
import inspect
import logging
import os
import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a clone works without being installed

from unetseg.process import ended_by_signals, set_up  # noqa: E402

set_up()  # before torch comes with what follows

from unetseg.files import make_folder  # noqa: E402
from unetseg.fitting import Recipe, Stopped, fit  # noqa: E402
from unetseg.fitting.data.folder import find_examples  # noqa: E402
from unetseg.fitting.doctor import (  # noqa: E402
    check_page,
    diagnose,
    draw_sheet,
    is_edited,
    report_text,
    stale_sizes,
    tell,
    write_page,
)
from unetseg.fitting.lock import refuse_running  # noqa: E402
from unetseg.fitting.run import begun, check_run_dir  # noqa: E402
from unetseg.formats import read_image  # noqa: E402
from unetseg.samples import write_samples  # noqa: E402

SAMPLES = ROOT / "training" / "recipes" / "samples.toml"


@ended_by_signals()
def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 when the checkpoint is there, 1 with one sentence on what is wrong, 130 when stopped."""
    parser = argparse.ArgumentParser(
        usage="%(prog)s [FOLDER | RECIPE --data FOLDER] [options]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("recipe", nargs="?", type=Path, help="a folder, or a .toml file; none: generated samples")
    parser.add_argument("--data", type=Path, help="the folder of images and masks that the recipe describes")
    parser.add_argument("--run-dir", type=Path, help="where the run is kept; runs/NAME of recipe or folder by default")
    parser.add_argument("--resume", action="store_true", help="go on where a stopped run left off")
    parser.add_argument("--init", help="start from a checkpoint folder, a name under checkpoints/, or owner/name")
    parser.add_argument("--device", default="auto", help="cpu, cuda, mps; auto takes the fastest")
    parser.add_argument("--folds", type=int, default=0, help="cross-validate over so many folds of the groups first")
    parser.add_argument("--tensorboard", action="store_true", help="write event files for TensorBoard as well")
    names = _add_recipe_options(parser)
    options = parser.parse_args(arguments)
    changes = {name: value for name in names if (value := getattr(options, name)) is not None}
    is_folder = options.recipe is not None and options.recipe.is_dir()
    if options.recipe is not None and not options.recipe.exists():
        parser.error(f"{options.recipe} is not there; give a folder of images and masks, or a recipe (.toml)")
    if options.recipe is not None and options.data is None and not is_folder:
        parser.error("a recipe needs --data FOLDER; without a recipe, samples are generated")
    if is_folder and options.data is not None:
        parser.error(f"{options.recipe} is a folder and so is --data; give one of them, or a recipe for --data")
    if options.recipe is None and options.data is not None:
        parser.error("--data needs a recipe that describes it; see training/recipes")
    first = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun starts, one speaks
    logging.basicConfig(level=logging.INFO if first else logging.ERROR, format="%(message)s")
    recipe_path = options.recipe or SAMPLES
    run_dir = options.run_dir or Path("runs") / (recipe_path.resolve().name if is_folder else recipe_path.stem)
    try:
        if "RANK" not in os.environ:  # of several processes all are refused together, by `fit`
            refuse_running(run_dir)
        check_run_dir(run_dir, resume=options.resume, folds=options.folds)  # before its recipe is replaced
        data = options.data
        if is_folder:
            data, recipe_path = recipe_path, run_dir / "recipe.toml"
            if not options.resume:
                propose(data, recipe_path)
        recipe = Recipe.from_file(recipe_path, changes)
        if data is None:
            data = run_dir / "data"
            write_samples(data, "ct", count=160, size=128)
        else:
            say_what_is_stale(recipe, data)
        checkpoint = fit(
            recipe,
            data,
            run_dir,
            resume=options.resume,
            init=options.init,
            device=options.device,
            folds=options.folds,
            tensorboard=options.tensorboard,
        )
    except (ValueError, OSError) as error:
        logging.error("error: %s", error)
        return 1
    except Stopped as stopped:
        logging.info("%s", stopped)
        return 130
    except KeyboardInterrupt:
        logging.info("stopped; go on with --resume" if begun(run_dir) else "stopped before there was anything to keep")
        return 130
    command = shlex.join(["python", "app.py", "--model", str(checkpoint)])
    logging.info("checkpoint: %s\nopen it: %s", checkpoint, command)
    return 0


def say_what_is_stale(recipe: Recipe, data: Path) -> None:
    """Log a sentence where sizes in the recipe don't fit the folder's pictures, of which a few are read."""
    try:
        examples = find_examples(recipe.data, data, recipe.train.seed)
        shapes = [read_image(example.image).pixels.shape for example in examples[:: len(examples) // 5 + 1]]
    except ValueError:  # told when the run reads it
        return
    if stale := stale_sizes(recipe, [(height, width) for _, height, width, _ in shapes]):
        logging.warning("note: %s", stale)


def propose(folder: Path, recipe_path: Path) -> None:
    """Examine a folder; leave recipe, contact sheet and report. ValueError if a person must answer first."""
    options = {"--data": folder, "--run-dir": recipe_path.parent}
    words = [str(word) for option in options.items() for word in option]
    command = shlex.join(["python", "training/train.py", str(recipe_path), *words])
    if is_edited(recipe_path):
        raise ValueError(f"{recipe_path} was edited and is not replaced; remove it, or train with it: {command}")
    page = recipe_path.with_name("report.html")
    check_page(page)
    diagnosis = diagnose(folder, progress=True)
    if logging.getLogger().isEnabledFor(logging.INFO):  # of several processes one speaks
        tell(report_text(diagnosis))
    make_folder(recipe_path.parent)
    sheet = recipe_path.with_name("contact_sheet.png")
    draw_sheet(diagnosis, sheet)
    logging.info("contact sheet: %s", sheet)
    again = shlex.join(["python", "training/train.py", str(folder), "--run-dir", str(recipe_path.parent)])
    write_page(diagnosis, page, train=command, again=again)
    logging.info("report: %s", page)
    if diagnosis.recipe is not None:
        diagnosis.write_recipe(recipe_path)
        logging.info("recipe: %s", recipe_path)
    if diagnosis.ambiguous:
        way = f"; or correct the recipe and train with it: {command}" if diagnosis.recipe is not None else ""
        raise ValueError(f"to be answered first: {diagnosis.ambiguous[0]}{way}")


def _add_recipe_options(parser: argparse.ArgumentParser) -> list[str]:
    """An option for every field of a recipe, from its definition; their names."""
    names = []
    for section, part in Recipe.sections().items():
        group = parser.add_argument_group(f"recipe, [{section}]", inspect.getdoc(part))
        for name, field in part.model_fields.items():
            names.append(f"{section}.{name}")
            default = "required in the recipe" if field.is_required() else f"default {field.default!r}"
            group.add_argument(f"--{names[-1]}", metavar="VALUE", help=default.replace("%", "%%"))
    return names


if __name__ == "__main__":
    sys.exit(main())
