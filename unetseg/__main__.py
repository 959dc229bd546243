"""The command line: predict, evaluate, doctor, verify, export; and for the hub info, pull, push, space.

Each command imports what it needs when it runs.
"""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from .config import SegmentationConfig
from .files import CONFIG, check_folder, check_target, whole, whole_folder
from .formats import KINDS
from .process import ended_by_signals, set_up
from .render import VIEWS

log = logging.getLogger("unetseg")
AS = (*KINDS, "probabilities")
LONG = 5000
"""Inputs for which a minute of compiling is worth a tenth of the network's time."""
CHECKPOINT = "a checkpoint folder, a name under checkpoints/, or owner/name[@revision] on the hub"


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(prog="unetseg", description=__doc__)
    commands = parser.add_subparsers(required=True)
    _add_predict(commands.add_parser("predict", help="segment pictures and write label maps or views"))
    _add_evaluate(commands.add_parser("evaluate", help="score a checkpoint on a split of a data folder"))
    _add_doctor(commands.add_parser("doctor", help="examine a folder of images and masks and propose a recipe"))
    _add_verify(commands.add_parser("verify", help="let a checkpoint prove itself on this machine, in every way"))
    _add_export(commands.add_parser("export", help="write a checkpoint as one ONNX file that needs nothing else"))
    _add_info(commands.add_parser("info", help="what a checkpoint is, where it is from, how good it is"))
    _add_pull(commands.add_parser("pull", help="get a checkpoint from the hub"))
    _add_push(commands.add_parser("push", help="put a checkpoint up as a model repo on the hub"))
    _add_space(commands.add_parser("space", help="put this page up as a Space on the hub"))
    return parser


@ended_by_signals()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 when all went well, 1 with one sentence on stderr for each thing that did not."""
    options = parser().parse_args(arguments)
    set_up()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("unetseg").setLevel(logging.INFO)  # other packages stay quiet
    logging.getLogger("rasterio").setLevel(logging.ERROR)  # it repeats every remark of GDAL
    try:
        return int(options.run(options))
    except (ValueError, OSError) as error:
        log.error("error: %s", error)
        return 1
    except KeyboardInterrupt:
        log.error("stopped; what was written is whole")
        return 130


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.description = "Pictures, GeoTIFF, NIfTI, NRRD, MetaImage; DICOM as a file, a folder or a zip."
    parser.add_argument("checkpoint", help=CHECKPOINT)
    parser.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="a file, or a folder however deep")
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the results; the current one unless given")
    parser.add_argument("--overwrite", action="store_true", help="replace files that the journal does not know")
    parser.add_argument(
        "--view", choices=("labels", *VIEWS), default="labels", help="labels: a label map in the family of the input"
    )
    parser.add_argument(
        "--as", dest="kinds", nargs="+", choices=AS, metavar="KIND", help=f"of the labels: {', '.join(AS)}; repeatable"
    )
    parser.add_argument("--report", action="store_true", help="write NAME_report.json too: what was read and found")
    parser.add_argument("--class", dest="class_name", help="for the views that show one class")
    parser.add_argument("--threshold", type=float, nargs="+", help="one for each output; the checkpoint's unless given")
    parser.add_argument("--largest", action="store_true", help="keep only the largest piece of each class")
    parser.add_argument("--minimum", type=int, default=0, metavar="PIXELS", help="drop pieces of fewer pixels (voxels)")
    parser.add_argument("--fill-holes", action="store_true", help="fill what a class encloses")
    parser.add_argument("--simplify", type=float, default=0, metavar="PIXELS", help="outlines of polygons, by so much")
    parser.add_argument(
        "--accept-proposals", action="store_true", help="turn or show a picture as the model proposes, where it does"
    )
    _add_reading(parser)
    parser.add_argument("--device", default="auto", help="cpu, cuda, mps; auto takes the fastest")
    parser.add_argument(
        "--compile",
        choices=("auto", "never", "always"),
        default="auto",
        help=f"the network, which takes a minute; auto: where it is faster, for {LONG:,} inputs and more",
    )
    parser.add_argument("--verbose", action="store_true", help="say of each input what was read and how")
    parser.add_argument("--shard", metavar="2/8", help="only the second eighth of the inputs, by a hash of their paths")
    parser.add_argument(
        "--engine", choices=("threads", "ray"), default="threads", help="ray: on a cluster, by Ray Data"
    )
    parser.add_argument(
        "--ray-address", metavar="ADDRESS", help="of a running cluster; one of this machine unless given"
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="of ray, each with the model; one for each GPU or core"
    )
    parser.set_defaults(run=_predict)


def _add_reading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--value-range",
        nargs="+",
        metavar="LOW HIGH",
        help="of the stored numbers, e.g. 0 4095; auto: 98 %% of the values of all inputs lie within",
    )
    parser.add_argument("--bands", help="of a raster that are the channels, e.g. 4,3,2; the first is 1")
    parser.add_argument("--series", help="of several DICOM series: a number of the list that is shown, or a UID")
    parser.add_argument(
        "--hounsfield", action=argparse.BooleanOptionalAction, help="whether a volume holds Hounsfield units"
    )


def _predict(options: argparse.Namespace) -> int:
    from . import hub
    from .batch import AUTO, Output, Shard, Task, Worker, inputs_in, reading_of, run, tell, with_common_range
    from .measure import Cleaning

    shard = Shard.parse(options.shard) if options.shard else Shard()
    reading = reading_of(options.value_range, options.bands, options.hounsfield)
    source = hub.find(options.checkpoint)
    jobs, left_out = inputs_in(options.inputs, options.series, out=options.out)
    cleaning = Cleaning(options.largest, options.minimum, options.fill_holes)
    output = Output(
        options.view,
        kinds=tuple(options.kinds or ()),
        report=options.report,
        class_name=options.class_name,
        thresholds=options.threshold,
        cleaning=cleaning,
        tolerance=options.simplify,
    )
    if source.commit:
        log.info("model: %s", source)
    _refuse_what_does_nothing(options, SegmentationConfig.from_file(source.folder / CONFIG), bool(cleaning))
    if options.value_range == AUTO:
        reading = with_common_range(jobs, reading)
        log.info("of all inputs: --value-range %g %g", *(reading["value_range"] or ()))
    jobs = [job for job in jobs if job in shard]
    compiled = options.compile
    if compiled == "auto":
        compiled = "faster" if len(jobs) >= LONG else "never"
    task = Task(
        source,
        options.device,
        reading,
        output,
        options.out,
        shard.journal,
        options.overwrite,
        compiled,
        options.accept_proposals,
    )
    if options.engine == "ray":
        from .batch.cluster import run_on_cluster

        outcomes = run_on_cluster(task, jobs, options.ray_address, options.workers)
    else:
        outcomes = run(Worker(task), jobs)
    states = tell(outcomes, len(jobs), left_out, options.out, verbose=options.verbose)
    if states["left out"] and not states["done"] + states["done before"] + states["failed"] and shard.count == 1:
        log.error("error: none of the series can be segmented; see the notes above")
        return 1
    return 1 if states["failed"] else 0


def _refuse_what_does_nothing(options: argparse.Namespace, config: SegmentationConfig, cleaning: bool) -> None:
    if options.kinds is not None and options.view != "labels":
        raise ValueError(f"--as does nothing to --view {options.view}, which is drawn as PNG; leave it out")
    if options.simplify and not {"gpkg", "geojson", "geoparquet"} & set(options.kinds or ()):
        raise ValueError("--simplify does nothing without polygons; leave it out, or take --as gpkg")
    if cleaning and options.view != "labels" and not options.report:
        raise ValueError(f"--largest, --minimum and --fill-holes do nothing to --view {options.view}; leave them out")
    of_one_class = ("probability", "thresholded") if config.exclusive else ("probability", "thresholded", "entropy")
    if options.class_name is not None and options.view not in of_one_class:
        raise ValueError(f"--class does nothing to --view {options.view}, which shows all classes; leave it out")
    if options.engine != "ray" and (options.workers or options.ray_address):
        raise ValueError("--workers and --ray-address do nothing without --engine ray; leave them out, or take it")
    if options.workers is not None and options.workers < 1:
        raise ValueError(f"there is at least one worker, got --workers {options.workers}")
    by_argmax = config.exclusive or config.background is None
    by_threshold = ("thresholded",) if by_argmax else ("thresholded", "labels", "overlay")
    if options.threshold is not None and options.view not in by_threshold:
        raise ValueError(
            f"--threshold does nothing to --view {options.view} of a {config.task} model; "
            f"leave it out, or take --view {' or '.join(by_threshold)}"
        )


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", help=CHECKPOINT)
    parser.add_argument("--recipe", type=Path, required=True, help="says how masks, groups and splits are read")
    parser.add_argument("--data", type=Path, required=True, help="the folder of images and masks")
    parser.add_argument(
        "--split",
        choices=("train", "val", "test", "all"),
        default="val",
        help="all: every picture of the folder, however the recipe would split it",
    )
    parser.add_argument("--json", type=Path, help="write the scores to this file too")
    parser.add_argument("--worst", type=Path, help="write the worst pictures, with truth and errors, to this PNG too")
    parser.add_argument("--device", default="auto", help="cpu, cuda, mps; auto takes the fastest")
    parser.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> int:
    from . import hub
    from .fitting import Recipe
    from .fitting.data.folder import find_examples, shared_pictures
    from .fitting.report.complete import count_look, json_text, write_worst
    from .fitting.report.evaluation import assess, cases, check_same_labels
    from .fitting.report.results import as_text, split_scores
    from .predictor import Predictor

    for path in (options.json, options.worst):
        if path:
            check_target(path)
    recipe = Recipe.from_file(options.recipe)
    checkpoint = hub.find(options.checkpoint, companions=True).folder
    predictor = Predictor.from_pretrained(checkpoint, device=options.device)
    check_same_labels(predictor.config, recipe.data, options.checkpoint)
    every = options.split == "all"
    undivided = {"val": 0.0, "test": 0.0, "split_column": None} if every else {}
    found = find_examples(recipe.data.model_copy(update=undivided), options.data, recipe.train.seed)
    examples = [example for example in found if every or example.split == options.split]
    if not examples:
        raise ValueError(f"the {options.split} split of {options.data} is empty; name another with --split")
    # a recipe may divide the pictures otherwise than the run did
    tested = options.split == "test" or bool(shared_pictures(checkpoint, "test", examples))
    known = 0 if options.split == "train" else shared_pictures(checkpoint, "train", examples)
    assessment = assess(cases(predictor, examples, recipe.data, progress=True), predictor.config)
    result = split_scores(assessment)
    in_a_run = (checkpoint.parent / "state.safetensors").exists()
    if tested and in_a_run:
        earlier = recipe.card.earlier_test_looks if recipe.card else 0
        result["looks"] = count_look(checkpoint, predictor.config) + earlier
    what = "all" if every else f"the {options.split} split"
    log.info("%s", as_text(f"{options.checkpoint} on {what} of {options.data}", result))
    if options.json:
        with whole(options.json) as temporary:
            temporary.write_text(json_text(result), encoding="utf-8")
    if options.worst:
        write_worst(options.worst, {options.split: assessment.worst}, predictor.config)
    if known is None:
        log.warning("%s has no split.json: if it was trained on these pictures, the scores flatter", options.checkpoint)
    elif known:
        log.warning("%s was trained on %d of these pictures, so the scores flatter", options.checkpoint, known)
    if tested and not in_a_run:
        log.info("this look at the test split is counted nowhere: add it to earlier_test_looks in the recipe's [card]")
    return 0


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.description = "Exit code 0: training may start; 1: there are questions that only a person can answer."
    parser.add_argument("folder", type=Path, help="the folder of images and masks")
    parser.add_argument("--write", type=Path, metavar="RECIPE", help="FOLDER's name.toml unless given")
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="contact sheet; FOLDER's name.png unless given")
    parser.add_argument("--html", type=Path, metavar="HTML", help="write all of it as one page with pictures too")
    parser.set_defaults(run=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    from .fitting.doctor import check_page, diagnose, draw_sheet, is_edited, report_text, tell, write_page

    folder = options.folder.resolve()
    # a sheet inside the folder would be the next picture to examine
    place = folder.parent if Path.cwd().is_relative_to(folder) else Path()
    recipe, sheet = options.write or place / f"{folder.name}.toml", options.sheet or place / f"{folder.name}.png"
    for path in filter(None, (recipe, sheet, options.html)):
        check_target(path)
    if options.html:
        check_page(options.html)
    if is_edited(recipe):
        raise ValueError(f"{recipe} was edited and is not replaced; remove it, or name another file with --write")
    diagnosis = diagnose(options.folder, progress=True)
    tell(report_text(diagnosis))
    draw_sheet(diagnosis, sheet)
    log.info("contact sheet: %s", sheet)
    train = shlex.join(["python", "training/train.py", str(recipe), "--data", str(options.folder)])
    named = [("--write", options.write), ("--sheet", options.sheet), ("--html", options.html)]
    given = [str(part) for option in named if option[1] for part in option]
    again = shlex.join(["python", "-m", "unetseg", "doctor", str(options.folder), *given])
    if options.html:
        write_page(diagnosis, options.html, train=train, again=again)
        log.info("report: %s", options.html)
    if diagnosis.recipe is not None:
        diagnosis.write_recipe(recipe)
        log.info("recipe: %s", recipe)
    if not diagnosis.ambiguous:
        tell(f"\nThis trains: {train}")
        return 0
    tell(f"\nAnswer what is asked above, then examine the folder again: {again}")
    if diagnosis.recipe is not None:
        tell(f"Or correct the recipe, and train by it: {train}")
    return 1


def _add_verify(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Runs the checkpoint's own test picture in every way that is installed, and compares labels and probabilities "
        "with those that are expected. Exit code 0: all are within the bounds that stand beside them."
    )
    parser.add_argument("checkpoint", help=CHECKPOINT)
    parser.add_argument("--only", action="append", metavar="WAY", help="one of the ways, by its name; repeatable")
    parser.add_argument(
        "--write", action="store_true", help="look for a test picture for a folder that has none, and write it there"
    )
    parser.set_defaults(run=_verify)


def _verify(options: argparse.Namespace) -> int:
    from . import hub
    from .model import UNet
    from .verify import WAYS, line, verify

    if unknown := sorted(set(options.only or ()) - WAYS.keys()):
        raise ValueError(f"unknown way {unknown[0]!r}; choose of {', '.join(WAYS)}")
    source = hub.find(options.checkpoint, companions=True)
    network = UNet.from_pretrained(source.folder)
    if options.write:
        if source.commit:
            raise ValueError(f"{source} lies in the cache of the hub; pull it to a folder, and name that one")
        from .fitting.report.proving import write_proof

        write_proof(network)
    failed = []
    for outcome in verify(network, options.only or tuple(WAYS)):
        log.info("%s", line(outcome))
        if not outcome.passed or (options.only and outcome.lacking):
            failed.append(outcome.way)
    if failed:
        raise ValueError(f"{options.checkpoint} does not prove itself here: {', '.join(failed)}")
    return 0


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "The file takes pictures of any size, float32 (N,C,H,W) from 0 to 1, and gives calibrated probabilities."
    )
    parser.add_argument("checkpoint", help=CHECKPOINT)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.onnx", help="a new file")
    parser.add_argument("--float16", action="store_true", help="weights of half the size; computed as before")
    parser.add_argument(
        "--tile", type=int, metavar="PIXELS", help="squares of this size alone, as QGIS's Deepness needs it"
    )
    parser.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> int:
    from .export import export
    from .model import UNet

    network = UNet.from_pretrained(options.checkpoint)
    path = export(network, options.out, float16=options.float16, tile=options.tile)
    log.info("%s, %s bytes: %s", path, f"{path.stat().st_size:,}", network.config.resolutions)
    return 0


def _add_info(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", help=CHECKPOINT)
    parser.set_defaults(run=_info)


def _info(options: argparse.Namespace) -> int:
    from . import hub
    from .hub.info import description

    source = hub.find(options.checkpoint, companions=True)
    log.info("%s", description(source))
    return 0


def _add_pull(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="OWNER/NAME[@REVISION]", help="REVISION: a branch, a tag or a commit")
    parser.add_argument("folder", nargs="?", type=Path, help="write it here too, beside the hub's own cache")
    parser.add_argument("--force", action="store_true", help="get what is in the cache again")
    parser.set_defaults(run=_pull)


def _pull(options: argparse.Namespace) -> int:
    from . import hub
    from .hub import download

    repo = download.parse(options.name)
    if repo is None:
        raise ValueError(f"{options.name!r} is no name of a repo on the hub; expected owner/name")
    source = download.fetch(*repo, force_download=options.force, companions=True)
    hub.load(source.folder)
    folder = source.folder if options.folder is None else hub.copy(source.folder, options.folder)
    log.info("%s in %s", source, folder)
    return 0


def _add_push(parser: argparse.ArgumentParser) -> None:
    parser.description = "The token is that of HF_TOKEN or of `hf auth login`."
    parser.add_argument("checkpoint", help=CHECKPOINT)
    parser.add_argument("repo", metavar="OWNER/NAME")
    parser.add_argument("--private", action=argparse.BooleanOptionalAction, help="of a repo that is made here")
    parser.add_argument("--branch", help="made if it is not there")
    parser.add_argument("--message", help="of the commit")
    parser.add_argument("--pull-request", action="store_true", help="propose the commit instead of making it")
    parser.add_argument("--tag", dest="tags", action="append", default=[], help="of the card; repeatable")
    parser.add_argument("--overwrite-card", action="store_true", help="replace a README that was edited on the hub")
    parser.add_argument(
        "--onnx", action="store_true", help="put up model.onnx too; one of an earlier push goes without it"
    )
    parser.set_defaults(run=_push)


def _push(options: argparse.Namespace) -> int:
    from . import hub
    from .hub.upload import push

    folder = hub.find(options.checkpoint, companions=True).folder
    onnx = None
    if options.onnx:
        from .export import as_onnx
        from .model import UNet

        onnx = as_onnx(UNet.from_pretrained(folder))
    pushed = push(
        folder,
        options.repo,
        onnx=onnx,
        private=options.private,
        branch=options.branch,
        commit_message=options.message,
        create_pr=options.pull_request,
        tags=options.tags,
        overwrite_card=options.overwrite_card,
    )
    log.info("%s", pushed)
    return 0


def _add_space(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "The token is that of HF_TOKEN or of `hf auth login`; a private model needs one in the Space. With --static "
        "the page needs no server: it carries its one model, which runs in the browser of whoever opens it."
    )
    parser.add_argument("repo", metavar="OWNER/NAME", nargs="?")
    parser.add_argument(
        "--model", action="append", required=True, metavar="OWNER/NAME[@REVISION]", help="to be shown; repeatable"
    )
    parser.add_argument("--private", action=argparse.BooleanOptionalAction, help="of a Space that is made here")
    parser.add_argument("--overwrite-card", action="store_true", help="replace a README that was edited on the hub")
    parser.add_argument("--static", action="store_true", help="a page without a server; --model may be a folder too")
    parser.add_argument("--float16", action="store_true", help="of --static: weights of half the size")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="of --static: write the page here, push nothing")
    parser.set_defaults(run=_space)


def _space(options: argparse.Namespace) -> int:
    from .hub.space import make_space

    if options.static:
        return _static(options)
    if options.out or options.float16:
        raise ValueError("--out and --float16 are of a page without a server; add --static, or leave them out")
    if options.repo is None:
        raise ValueError("a Space needs a name; say owner/name first")
    pushed = make_space(options.repo, options.model, private=options.private, overwrite_card=options.overwrite_card)
    log.info("%s", pushed)
    return 0


def _static(options: argparse.Namespace) -> int:
    from .demo.static import KIND, page_files
    from .hub.space import make_static_space
    from .hub.upload import check_repo
    from .model import UNet

    if (options.repo is None) == (options.out is None):
        raise ValueError("a page without a server goes to a Space, owner/name, or to a folder, --out FOLDER: name one")
    if len(options.model) > 1:
        raise ValueError(f"a page without a server shows one model, got {len(options.model)}; make a page of each")
    if options.out:
        check_folder(options.out, **KIND)
    else:
        check_repo(options.repo)
    network = UNet.from_pretrained(options.model[0])
    files = page_files(network, repo=options.repo, float16=options.float16)
    if options.out:
        log.info("%s, %s bytes", whole_folder(options.out, files, **KIND), f"{sum(map(len, files.values())):,}")
        return 0
    pushed = make_static_space(options.repo, files, private=options.private, overwrite_card=options.overwrite_card)
    log.info("%s", pushed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
