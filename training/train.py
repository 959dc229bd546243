"""Train by a recipe: `python training/train.py [RECIPE --data FOLDER]`; without one, on generated samples."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a clone works without being installed

from unetseg.fitting import Recipe, Stopped, fit  # noqa: E402
from unetseg.samples import write_samples  # noqa: E402

SAMPLES = ROOT / "training" / "recipes" / "samples.toml"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 when the checkpoint is there, 1 with one sentence on what is wrong, 130 when stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", nargs="?", type=Path, help="a .toml file; none: generated samples")
    parser.add_argument("--data", type=Path, help="the folder of images and masks that the recipe describes")
    parser.add_argument("--run-dir", type=Path, help="where the run is kept; runs/RECIPE unless given")
    parser.add_argument("--resume", action="store_true", help="go on where a stopped run left off")
    parser.add_argument("--init", help="start from the weights of this checkpoint, a folder or a name")
    parser.add_argument("--device", default="auto", help="cpu, cuda, mps; auto takes the fastest")
    options = parser.parse_args(arguments)
    if options.recipe is not None and options.data is None:
        parser.error("a recipe needs --data FOLDER; without a recipe, samples are generated")
    if options.recipe is None and options.data is not None:
        parser.error("--data needs a recipe that describes it; see training/recipes")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    recipe_path = options.recipe or SAMPLES
    run_dir = options.run_dir or Path("runs") / recipe_path.stem
    try:
        recipe = Recipe.from_file(recipe_path)
        data = options.data
        if data is None:
            data = run_dir / "data"
            write_samples(data, "ct", count=160, size=128)
        checkpoint = fit(recipe, data, run_dir, resume=options.resume, init=options.init, device=options.device)
    except (ValueError, OSError) as error:
        logging.error("error: %s", error)
        return 1
    except Stopped as stopped:
        logging.info("%s", stopped)
        return 130
    logging.info("checkpoint: %s\nopen it: python app.py --model %s", checkpoint, checkpoint)
    return 0


if __name__ == "__main__":
    sys.exit(main())
