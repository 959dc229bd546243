"""The page: a picture in, probability, thresholded and argmax-colourised output."""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
import sys
import tempfile
from collections.abc import Iterable, Sequence

from ..hub import shipped
from ..predictor import Predictor
from ..process import ended_by_signals
from .later import Later, Offered

log = logging.getLogger(__name__)

FIRST = ("liver-unet", "satellite-unet")
"""Of what is shipped, the models that the page begins with."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve the page with the named checkpoints, or with all that are shipped."""
    parser = argparse.ArgumentParser(description="Open the page in a browser at the address it prints.")
    parser.add_argument(
        "--model",
        action="append",
        metavar="NAME",
        help="a checkpoint folder, a name under checkpoints/, or owner/name[@revision] on the hub; repeatable",
    )
    parser.add_argument("--host", help="address to listen on; 127.0.0.1 unless given")
    parser.add_argument("--port", type=int, help="port to listen on; the first free one from 7860 unless given")
    parser.add_argument("--mcp", action="store_true", help="answer as an MCP server too: pip install 'unetseg[mcp]'")
    parser.add_argument(
        "--keep", type=float, default=30, metavar="MINUTES", help="that a result is kept unused; %(default)s"
    )
    parser.add_argument("--memory", type=float, default=2, metavar="GB", help="what results may take in all")
    parser.add_argument("--device", default="auto", help="cpu, cuda, mps; auto takes the fastest")
    options = parser.parse_args(arguments)
    names = options.model or in_order(shipped())
    if not names:
        parser.error("there is no checkpoint in checkpoints/; name one with --model, or train one: training/train.py")
    if options.keep <= 0 or options.memory <= 0:
        parser.error("--keep and --memory are more than 0")
    if options.mcp and importlib.util.find_spec("mcp") is None:
        parser.error("--mcp needs a package that is not installed: pip install 'unetseg[mcp]'")
    logging.basicConfig(format="%(message)s")
    logging.getLogger("unetseg").setLevel(logging.INFO)  # other packages stay quiet
    logging.getLogger("rasterio").setLevel(logging.ERROR)  # it repeats every remark of GDAL
    with ended_by_signals(), tempfile.TemporaryDirectory(prefix="unetseg-", ignore_cleanup_errors=True) as folder:
        # before gradio is imported, which is slow too: its files go with the page, and no look-ups on the network
        os.environ.setdefault("GRADIO_TEMP_DIR", folder)
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        _serve(names, options)


def in_order(names: Iterable[str]) -> list[str]:
    """Names of shipped models as the page lists them: FIRST, then the others by name."""
    return sorted(names, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))


def _serve(names: Sequence[str], options: argparse.Namespace) -> None:
    titles = [_title(name) for name in names]
    predictors: dict[str, Offered] = {}
    try:
        for name, title in zip(names, titles, strict=True):
            # two owners may call a model the same
            label = title if titles.count(title) == 1 else name
            # the first one's example is solved at once; the others are loaded when somebody chooses them
            opened = Later if predictors else Predictor.from_pretrained
            predictors[label] = opened(name, device=options.device)
            log.info("%s: %s", label, predictors[label].source)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    from .layout import launch

    try:
        launch(
            predictors,
            host=options.host,
            port=options.port,
            mcp=options.mcp,
            limit=int(options.memory * 1e9),
            expires=options.keep * 60,
        )
    except ValueError as error:
        sys.exit(f"error: {error}")


def _title(name: str) -> str:
    """`checkpoints/liver-unet/` is called liver-unet; `runs/mine/checkpoint` keeps the folder that tells it apart."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    return "/".join(parts[-2:]) if parts[-1] == "checkpoint" else parts[-1]
