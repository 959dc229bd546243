"""What the page looks like and which part listens to which."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from ..predictor import Predictor
from ..render import View
from .handlers import ALL, Page, captions_html, status_html
from .store import Gone

VIEWS: list[tuple[str, View]] = [
    ("Probability", "probability"),
    ("Thresholded", "thresholded"),
    ("Argmax colours", "argmax"),
    ("Overlay", "overlay"),
]
INTRODUCTION = """# unetseg
Drop a picture (PNG, JPEG, TIFF, BMP, GIF or WebP), or click an example: a U-Net labels every pixel.
"""
EMPTY = '<p class="status">No picture yet.</p>'
CSS = Path(__file__).with_name("page.css")
# all views are on the page, the style sheet hides all but one: switching asks nobody
SWITCH = "view => { document.body.dataset.view = view; }"


def launch(predictors: dict[str, Predictor], *, host: str | None = None, port: int | None = None) -> None:
    """Serve the page until it is interrupted."""
    build(Page(predictors)).launch(
        server_name=host,
        server_port=port,
        css_paths=CSS,
        theme=gr.themes.Base(
            primary_hue="teal",
            neutral_hue="slate",
            # plain names: these are the visitor's own fonts, nothing is fetched
            font=["system-ui", "Segoe UI", "Roboto", "Helvetica", "Arial", "sans-serif"],
            font_mono=["ui-monospace", "Consolas", "monospace"],
        ),
        footer_links=[],
        max_file_size="256mb",
        enable_monitoring=False,
        ssr_mode=False,
    )


def build(page: Page) -> gr.Blocks:
    """The page as Blocks, not yet served."""
    names = list(page.predictors)
    first = page.config(names[0])
    several = len(first.outputs) > 1
    blocks: gr.Blocks
    with gr.Blocks(title="unetseg", analytics_enabled=False, delete_cache=(3600, 3600)) as blocks:
        gr.Markdown(INTRODUCTION)
        key = gr.State("")
        limits = gr.State(list(first.thresholds))
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                model = gr.Radio(names, value=names[0], label="Model", elem_id="model", visible=len(names) > 1)
                upload = gr.File(label="Picture", elem_id="upload", height=150)
                examples = gr.Dataset(
                    components=[gr.Image(visible=False)],
                    samples=[[path] for path in page.examples(names[0])],
                    type="index",
                    label="Examples (generated, synthetic)",
                    elem_id="examples",
                )
                status = gr.HTML(EMPTY, elem_id="status", padding=False)
                legend = gr.HTML(elem_id="legend", padding=False)
                save = gr.DownloadButton(
                    "Download the label map (PNG)", interactive=False, elem_id="download", size="md"
                )
            with gr.Column(scale=3, min_width=480):
                view = gr.Radio(VIEWS, value="probability", label="View", elem_id="view")
                with gr.Row():
                    picture = _image("Picture", "picture")
                    outputs = [_image(label, kind, ["view", f"view-{kind}"]) for label, kind in VIEWS]
                captions = gr.HTML(captions_html(ALL, first), elem_id="captions", padding=False)
                with gr.Row():
                    chosen = gr.Radio([ALL, *first.outputs], value=ALL, label="Class", elem_id="class", visible=several)
                    slider = gr.Slider(
                        0,
                        1,
                        value=first.thresholds[0],
                        step=0.01,
                        label="Threshold on the probability",
                        elem_id="slider",
                    )

        def segment(model: str, path: str | None) -> list[str | None]:
            if path is None:
                return ["", EMPTY, None]
            try:
                result = page.segment(model, path)
            except ValueError as error:
                return ["", status_html([str(error)], problem=True), None]
            return [result.key, status_html(result.notes), result.picture]

        def show(key: str, model: str, chosen: str, limits: list[float]) -> list[str | None]:
            text = captions_html(chosen, page.config(model))
            if not key:
                return [None] * len(VIEWS) + ["", text]
            with _explained():
                views = [page.view(key, kind, chosen, limits) for _, kind in VIEWS]
                return [*views, page.legend(key, limits), text]

        def download(key: str, limits: list[float]) -> gr.DownloadButton:
            if not key:
                return gr.DownloadButton(value=None, interactive=False)
            with _explained():
                return gr.DownloadButton(value=page.download(key, limits), interactive=True)

        def forget() -> list[Any]:
            """The last result answers no more while the next one is made."""
            return ["", gr.DownloadButton(value=None, interactive=False)]

        def choose_model(model: str) -> list[Any]:
            config = page.config(model)
            return [
                *forget(),
                list(config.thresholds),
                gr.Radio([ALL, *config.outputs], value=ALL, visible=len(config.outputs) > 1),
                gr.Slider(value=config.thresholds[0]),
                gr.Dataset(samples=[[path] for path in page.examples(model)]),
            ]

        def choose_class(model: str, chosen: str, limits: list[float]) -> float:
            outputs = page.config(model).outputs
            return limits[outputs.index(chosen) if chosen in outputs else 0]

        def move(model: str, chosen: str, value: float, limits: list[float]) -> list[float]:
            outputs = page.config(model).outputs
            return [value if chosen in (ALL, name) else old for name, old in zip(outputs, limits, strict=True)]

        # what is chosen while an answer is awaited is answered next: Gradio would drop it
        common: dict[str, Any] = {"trigger_mode": "always_last", "api_visibility": "private"}
        # one heavy run at a time; drawing never waits for it, and is done in the order it was asked for
        quiet: dict[str, Any] = {**common, "show_progress": "hidden", "concurrency_limit": 8}
        in_order = {**quiet, "concurrency_limit": 1}
        segmenting: dict[str, Any] = {
            "fn": segment,
            "inputs": [model, upload],
            "outputs": [key, status, picture],
            "show_progress_on": [picture],
            **common,
        }
        showing: dict[str, Any] = {
            "fn": show,
            "inputs": [key, model, chosen, limits],
            "outputs": [*outputs, legend, captions],
            **in_order,
        }
        saving: dict[str, Any] = {"fn": download, "inputs": [key, limits], "outputs": save, **in_order}
        view.input(None, view, None, js=SWITCH)
        upload.change(forget, None, [key, save], **quiet).then(**segmenting).then(**showing).then(**saving)
        examples.click(lambda model, index: page.examples(model)[index], [model, examples], upload, **quiet)
        asked = model.change(choose_model, model, [key, save, limits, chosen, slider, examples], **quiet)
        asked.then(**segmenting).then(**showing).then(**saving)
        chosen.input(choose_class, [model, chosen, limits], slider, **quiet).then(**showing)
        slider.input(move, [model, chosen, slider, limits], limits, **quiet).then(**showing).then(**saving)
    return blocks


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except Gone as gone:
        raise gr.Error(str(gone), print_exception=False) from None


def _image(label: str, name: str, classes: list[str] | None = None) -> gr.Image:
    return gr.Image(
        label=label,
        elem_id=name,
        elem_classes=classes,
        type="filepath",
        format="png",
        interactive=False,
        buttons=["fullscreen"],
        height=480,
    )
