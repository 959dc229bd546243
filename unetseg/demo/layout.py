"""The page as Gradio serves it: one element, in which the viewer opens; and the endpoints for programs."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import gradio as gr
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware

from .downloads import Choices, write
from .guard import Guard, Rules
from .handlers import Asked, Page
from .jobs import Event, Visitor
from .later import Offered
from .serve import numbers, routes, told
from .store import EXPIRES, LIMIT, keep_newest
from .uploads import brought

# plain names: these are the visitor's own, nothing is fetched
FONTS = ["system-ui", "Segoe UI", "Roboto", "Helvetica", "Arial", "sans-serif"]
# relative to the page, wherever a proxy puts it
HEAD = "".join(f'<link rel="stylesheet" href="./unetseg/viewer/{name}.css">' for name in ("viewer", "page"))
OPEN = """
const at = new URL("./unetseg/viewer/page.js", document.baseURI).href;
import(at).then(page => page.open(element)).catch(error => { element.textContent = String(error); });
"""


def launch(
    predictors: Mapping[str, Offered],
    *,
    host: str | None = None,
    port: int | None = None,
    mcp: bool = False,
    limit: int = LIMIT,
    expires: float = EXPIRES,
) -> None:
    """Serve the page until it is interrupted; see `Page` for limit and expires. ValueError for a faulty environment."""
    page = Page(predictors, limit=limit, expires=expires)
    try:
        blocks = build(page)
        serve(blocks, page, Rules.of(host), host=host, port=port, mcp=mcp)
        page.start_first()
        blocks.block_thread()
    finally:
        page.close()


def serve(
    blocks: gr.Blocks,
    page: Page,
    rules: Rules,
    *,
    host: str | None = None,
    port: int | None = None,
    mcp: bool = False,
    quiet: bool = False,
) -> str:
    """Listen, without waiting; the address."""
    _, address, _ = blocks.launch(
        server_name=host,
        server_port=port,
        app_kwargs={"routes": routes(page, rules), "middleware": [Middleware(Guard, rules=rules)]},
        theme=gr.themes.Base(font=FONTS, font_mono=["ui-monospace", "Consolas", "monospace"]),
        footer_links=[],
        max_file_size=rules.largest,
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=mcp,
        prevent_thread_lock=True,
        quiet=quiet,
    )
    return address


def _file(label: str) -> gr.File:
    """A file that was uploaded, or made here, in Gradio's folder: nothing is fetched from elsewhere, nothing copied.

    An upload may be named by the address that it has here, as agents do (MCP).

    Not a class of its own: beside the module of such a one Gradio writes a file.
    """
    component = gr.File(label=label)

    async def kept(path: str | Path | None) -> str | None:
        if path is None:
            return None
        if str(path).startswith(("http://", "https://")):
            path = Path(unquote(str(path).partition("/gradio_api/file=")[2])).resolve()
            if not (path.is_relative_to(Path(component.GRADIO_CACHE).resolve()) and path.is_file()):
                raise gr.Error("upload the file here: this page fetches nothing from elsewhere", print_exception=False)
        component.temp_files.add(str(path))
        return str(path)

    component.async_move_resource_to_block_cache = kept  # type: ignore[assignment, method-assign]
    return component


def build(page: Page) -> gr.Blocks:
    """The page as Blocks, not yet served."""

    async def segment(
        file: str,
        model: str,
        thresholds: str,
        series: str,
        value_range: str,
        bands: str,
        hounsfield: bool,
        accept_proposals: bool,
        request: gr.Request,
    ) -> tuple[str, str, dict[str, Any]]:
        """Label every pixel of a picture, GeoTIFF, NIfTI, NRRD or MetaImage volume, or zipped DICOM series.

        Args:
            file: the file, uploaded.
            model: a name that /models lists; the first of them unless given.
            thresholds: one number from 0 to 1 for each output of the model, with commas; its own unless given.
            series: the UID of one of several DICOM series.
            value_range: LOW HIGH, the numbers that are black and white, where the file doesn't say; or auto.
            bands: which bands of a raster are the channels, such as 4,3,2.
            hounsfield: whether the numbers are Hounsfield units, where the file can't say so.
            accept_proposals: change the picture if the model would know it better; labels come back as it lies.

        Returns:
            The label map in the family of the file; the probabilities; the report.
        """
        if not file:
            raise gr.Error("nothing to segment: send a file", print_exception=False)
        model = model or next(iter(page.predictors))
        visitor = Visitor(request.client.host if request.client else "")
        key = page.store.new_key()
        try:
            limits = numbers(thresholds, "thresholds")
            upload = await run_in_threadpool(brought, file, page.folder / key)
            asked = Asked(
                model,
                key,
                upload,
                series or None,
                value_range=value_range,
                bands=bands,
                hounsfield=hounsfield,
                accept=accept_proposals,
            )
            await _done(page, asked, visitor)
            async with page.turn(page.result(key)):
                return await run_in_threadpool(_written, page, key, limits, Path(hidden.GRADIO_CACHE))
        except ValueError as error:
            raise gr.Error(str(error), print_exception=False) from None
        finally:
            page.store.drop(key)
            page.store.forget_unless_kept(key)

    def models() -> list[dict[str, Any]]:
        """The models of this page: name, task, labels, thresholds, scores, licence, card."""
        return [{name: value for name, value in one.items() if name != "examples"} for one in page.models()]

    blocks: gr.Blocks
    age = int(page.store.expires)
    with gr.Blocks(title="unetseg", analytics_enabled=False, delete_cache=(60, max(60, age))) as blocks:
        gr.HTML("", elem_id="unetseg", head=HEAD, js_on_load=OPEN, apply_default_css=False)
        with gr.Group(visible=False):  # named, so that programs can ask; the page itself has no use for them
            hidden = gr.Button()
            words = [gr.Textbox("", label=name) for name in ("model", "thresholds", "series", "value_range", "bands")]
            inputs = [_file("file"), *words, gr.Checkbox(label="hounsfield"), gr.Checkbox(label="accept")]
            outputs = [_file("labels"), _file("probabilities"), gr.JSON(label="report")]
            hidden.click(segment, inputs, outputs, api_name="segment", concurrency_limit=None)
            hidden.click(models, None, gr.JSON(label="models"), api_name="models", concurrency_limit=None)
    return blocks


async def _done(page: Page, asked: Asked, visitor: Visitor) -> None:
    """Wait until a run is done, or end it if it isn't waited for any more; ValueError says what went wrong."""
    last: Event = {"state": "ended"}
    async with contextlib.aclosing(told(page, asked, visitor)) as events:
        async for event in events:
            last = event or last
    if last["state"] == "series":
        said = "; ".join(f"{one['what']}: {one['uid']}" for one in last["series"])
        raise ValueError(f"this holds {len(last['series'])} series; name one of them by `series`: {said}")
    if last["state"] != "done":
        raise ValueError(last.get("error", "the run was ended; ask again"))


def _written(page: Page, key: str, thresholds: list[float] | None, cache: Path) -> tuple[str, str, dict[str, Any]]:
    """Labels and probabilities as files that Gradio keeps for a while, and the report."""
    full = page.result(key).full
    assert full is not None
    keep_newest(cache, page.store.limit)
    folder = Path(tempfile.mkdtemp(dir=cache))
    kinds = {one["kind"] for one in page.info(key)["downloads"]}
    labels = write("own" if "own" in kinds else "labels_png", full, folder, Choices(thresholds))
    probabilities = write("probabilities", full, folder, Choices(thresholds))
    return str(labels), str(probabilities), full.report(thresholds)
