"""What the page looks like and which part listens to which."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from ..predictor import Predictor
from ..render import View
from .handlers import ALL, FAMILIES, MODEL_WINDOW, WINDOWS, Page, Several, Window, captions_html, status_html
from .store import Gone

VIEWS: list[tuple[str, View]] = [
    ("Probability", "probability"),
    ("Thresholded", "thresholded"),
    ("Argmax colours", "argmax"),
    ("Overlay", "overlay"),
]
INTRODUCTION = """# unetseg
Drop a picture, a GeoTIFF, a NIfTI volume or a DICOM series (its files, or a zip of them), or click an example: a U-Net
labels every pixel.
"""
OWN_WINDOW = "level and width"
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
        max_file_size="1gb",
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
                upload = gr.File(label="Picture", elem_id="upload", height=150, file_count="multiple")
                series = gr.Radio([], label="Series", elem_id="series", visible=False)
                examples = gr.Dataset(
                    components=[gr.Image(visible=False)],
                    samples=[[path] for path in page.examples(names[0])],
                    type="index",
                    label="Examples (generated, synthetic)",
                    elem_id="examples",
                )
                status = gr.HTML(EMPTY, elem_id="status", padding=False)
                accept = gr.Button(visible=False, size="md", variant="primary", elem_id="accept")
                legend = gr.HTML(elem_id="legend", padding=False)
                quietly: dict[str, Any] = {"interactive": False, "size": "md"}
                save = gr.DownloadButton(f"Download the {FAMILIES['.png']}", elem_id="download", **quietly)
                report = gr.DownloadButton("Download the report (JSON)", elem_id="report", **quietly)
                with gr.Accordion("What the file does not say", open=False, elem_id="reading"):
                    values = gr.Textbox(
                        "", label="Value range (--value-range)", placeholder="LOW HIGH, or auto", elem_id="values"
                    )
                    bands = gr.Textbox(
                        "", label="Bands (--bands)", placeholder="red, green, blue: 4,3,2", elem_id="bands"
                    )
                    hounsfield = gr.Checkbox(label="The numbers are Hounsfield units")
                    again = gr.Button("Read it so", size="sm")
            with gr.Column(scale=3, min_width=480):
                view = gr.Radio(VIEWS, value="probability", label="View", elem_id="view")
                with gr.Column(visible=False) as slices:
                    profile = gr.HTML(elem_id="profile", padding=False)
                    slice_ = gr.Slider(1, 2, value=1, step=1, label="Slice", elem_id="slice")
                with gr.Row():
                    picture = _image("Picture", "picture")
                    outputs = [_image(label, kind, ["view", f"view-{kind}"]) for label, kind in VIEWS]
                with gr.Row(visible=False, elem_id="window") as windows:
                    window = gr.Radio(
                        [MODEL_WINDOW, *WINDOWS, OWN_WINDOW],
                        value=MODEL_WINDOW,
                        label="Window of the picture; the network's input stays as it is",
                        scale=3,
                    )
                    level = gr.Number(40, label="Level (HU)", elem_id="level", min_width=90)
                    width = gr.Number(400, label="Width (HU)", elem_id="width", minimum=1, min_width=90)
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

        def segment(
            model: str,
            paths: list[str] | None,
            series: str | None,
            values: str,
            bands: str,
            hounsfield: bool,
            *,
            accepted: bool = False,
        ) -> list[Any]:
            nothing = ["", gr.Slider(), gr.Column(visible=False), gr.Row(visible=False), gr.DownloadButton()]
            nothing.append(gr.Button(visible=False))
            if not paths:
                return [EMPTY, gr.Radio(visible=False), *nothing]
            try:
                result = page.segment(
                    model,
                    paths,
                    series,
                    value_range=values,
                    bands=bands,
                    hounsfield=hounsfield,
                    accept_proposals=accepted,
                )
            except Several as several:
                choices = [(what, uid) for uid, what in several.series.items()]
                asked = gr.Radio(choices, value=None, visible=True)
                return [status_html([str(several)]), asked, *nothing]
            except ValueError as error:
                return [status_html([str(error)], problem=True), gr.Radio(), *nothing]
            return [
                status_html(result.notes),
                gr.Radio(),
                result.key,
                gr.Slider(1, max(2, result.slices), value=result.first + 1),
                gr.Column(visible=result.slices > 1),
                gr.Row(visible=result.hounsfield),
                gr.DownloadButton(f"Download the {result.family}"),
                gr.Button(f"Look at it {result.proposal}", visible=bool(result.proposal)),
            ]

        def show(
            key: str, model: str, chosen: str, limits: list[float], slice_: int, window: str, level: float, width: float
        ) -> list[str | None]:
            text = captions_html(chosen, page.config(model))
            if not key:
                return [None] * (1 + len(VIEWS)) + ["", text, ""]
            index = int(slice_) - 1
            own = window != MODEL_WINDOW and None not in (level, width)  # a number that was emptied is None
            seen: Window = (level, width) if own else None
            with _explained():
                views = [page.view(key, kind, chosen, limits, index, seen) for _, kind in VIEWS]
                legend = page.legend(key, limits, index)
                return [page.picture(key, index, seen), *views, legend, text, page.profile(key, chosen, limits, index)]

        def download(key: str, limits: list[float]) -> list[gr.DownloadButton]:
            if not key:
                return [gr.DownloadButton(value=None, interactive=False)] * 2
            with _explained():
                return [gr.DownloadButton(value=path, interactive=True) for path in page.download(key, limits)]

        def forget() -> list[Any]:
            """The last result answers no more while the next one is made."""
            return ["", *[gr.DownloadButton(value=None, interactive=False)] * 2]

        def ask_anew() -> list[Any]:
            """What was said of the last file holds for it alone."""
            return [gr.Radio([], value=None, visible=False), "", "", False]

        def choose_window(window: str, level: float, width: float) -> tuple[float, float]:
            return WINDOWS.get(window, (level, width))

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
            "inputs": [model, upload, series, values, bands, hounsfield],
            "outputs": [status, series, key, slice_, slices, windows, save, accept],
            "show_progress_on": [picture],
            **common,
        }
        showing: dict[str, Any] = {
            "fn": show,
            "inputs": [key, model, chosen, limits, slice_, window, level, width],
            "outputs": [picture, *outputs, legend, captions, profile],
            **in_order,
        }
        saving: dict[str, Any] = {"fn": download, "inputs": [key, limits], "outputs": [save, report], **in_order}
        forgetting: dict[str, Any] = {"fn": forget, "outputs": [key, save, report], **quiet}
        view.input(None, view, None, js=SWITCH)
        uploaded = upload.change(ask_anew, None, [series, values, bands, hounsfield], **quiet).then(**forgetting)
        uploaded.then(**segmenting).then(**showing).then(**saving)
        gr.on([again.click, values.submit, bands.submit], **forgetting).then(**segmenting).then(**showing).then(
            **saving
        )
        accepting = {**segmenting, "fn": functools.partial(segment, accepted=True)}
        accept.click(**forgetting).then(**accepting).then(**showing).then(**saving)
        series.input(**forgetting).then(**segmenting).then(**showing).then(**saving)
        examples.click(lambda model, index: [page.examples(model)[index]], [model, examples], upload, **quiet)
        asked = model.change(choose_model, model, [key, save, report, limits, chosen, slider, examples], **quiet)
        asked.then(**segmenting).then(**showing).then(**saving)
        chosen.input(choose_class, [model, chosen, limits], slider, **quiet).then(**showing)
        slider.input(move, [model, chosen, slider, limits], limits, **quiet).then(**showing).then(**saving)
        slice_.input(**showing)
        window.input(choose_window, [window, level, width], [level, width], **quiet).then(**showing)
        for number in (level, width):
            number.input(lambda: OWN_WINDOW, None, window, **quiet).then(**showing)
    return blocks


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (Gone, ValueError) as error:  # a download may find what its format can't hold
        raise gr.Error(str(error), print_exception=False) from None


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
