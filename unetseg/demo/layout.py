"""The page as Gradio serves it: one element, in which the viewer opens; and the endpoints for programs."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ..predictor import Predictor
from .handlers import Page
from .serve import routes

HEAD = '<link rel="stylesheet" href="./unetseg/viewer/page.css">'
# relative to the page, wherever a proxy puts it
OPEN = """
const at = new URL("./unetseg/viewer/page.js", document.baseURI).href;
import(at).then(page => page.open(element)).catch(error => { element.textContent = String(error); });
"""


def launch(predictors: dict[str, Predictor], *, host: str | None = None, port: int | None = None) -> None:
    """Serve the page until it is interrupted."""
    page = Page(predictors)
    try:
        blocks = build(page)
        serve(blocks, page, host=host, port=port)
        page.start_first()
        blocks.block_thread()
    finally:
        page.close()


def serve(blocks: gr.Blocks, page: Page, *, host: str | None = None, port: int | None = None, **more: Any) -> str:  # noqa: ANN401
    """Listen; the address."""
    _, address, _ = blocks.launch(
        server_name=host,
        server_port=port,
        app_kwargs={"routes": routes(page)},
        footer_links=[],
        max_file_size="1gb",
        enable_monitoring=False,
        ssr_mode=False,
        prevent_thread_lock=True,
        **more,
    )
    return address


def build(page: Page) -> gr.Blocks:
    """The page as Blocks, not yet served."""
    blocks: gr.Blocks
    with gr.Blocks(title="unetseg", analytics_enabled=False, delete_cache=(3600, 3600)) as blocks:
        gr.HTML("", elem_id="unetseg", head=HEAD, js_on_load=OPEN, apply_default_css=False)
    return blocks
