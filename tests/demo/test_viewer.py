"""The viewer in a real headless Chromium, against `Segmentation.view` pixel by pixel."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from configs import KINDS, config_for, segmented
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page
from viewing import Desk, desk

from unetseg import Segmentation
from unetseg.demo.packed import counted, packed


@pytest.fixture(scope="module")
def served() -> Iterator[Desk]:
    with desk() as served:
        yield served


@pytest.fixture
def page(browser: Browser, served: Desk) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 800, "height": 640})
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(served.address)
    page.wait_for_function("window.ready")
    yield page
    page.close()
    assert not problems


def scene(kind: str, height: int, width: int, **changes: Any) -> Segmentation:  # noqa: ANN401, any field
    """Real-valued logits with ties, saturation, zeros and steps of the slider in them, over a picture."""
    config = config_for(kind, **changes)
    random = torch.Generator().manual_seed(height * width)
    k = len(config.outputs)
    logits = torch.randn(1, k, height, width, generator=random) * 3
    flat = logits.flatten(2)  # (1,K,H*W), of it each part is an edge case
    size = flat.shape[2]
    steps = torch.arange(101) / 100
    edges = torch.cat([torch.logit(steps.clamp(1e-9, 1 - 1e-7)), torch.tensor([0.0, -0.0, 90.0, -90.0, 1e-8, -1e-8])])
    some = edges[torch.arange(size // 3) % len(edges)]
    flat[:, :, : size // 3] = some * torch.tensor(config.temperatures)[:, None]
    flat[:, 1:, size // 3 : size // 2] = flat[:, :1, size // 3 : size // 2]  # ties
    flat[:, :, size // 2 : size * 2 // 3] *= 40  # sigmoids that saturate
    picture = torch.randint(0, 256, (1, height, width, 3), generator=random, dtype=torch.uint8).numpy()
    return segmented(logits, picture, config)


def shown(page: Page, served: Desk, segmentation: Segmentation, name: str = "one") -> None:
    served.packed[name] = packed(segmentation, 0, segmentation.shape[1:], counted(segmentation, 0))
    page.evaluate("async (name) => viewer.show(await get(name))", name)


def pixels(page: Page, **state: Any) -> NDArray[np.uint8]:  # noqa: ANN401, what the viewer takes
    """RGB of the view on the screen, read from its canvas."""
    found = page.evaluate(
        """async (state) => {
            viewer.set(state);
            await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
            const canvas = document.querySelector(".after canvas");
            const { data, width, height } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            return { pixels: text(data), width, height };
        }""",
        state,
    )
    rgba = np.frombuffer(base64.b64decode(found["pixels"]), np.uint8).reshape(found["height"], found["width"], 4)
    assert (rgba[..., 3] == 255).all()
    return rgba[..., :3]


@pytest.mark.parametrize("kind", KINDS)
def test_views(page: Page, served: Desk, kind: str) -> None:
    segmentation = scene(kind, 61, 83)
    config = segmentation.config
    shown(page, served, segmentation)
    for channel in (None, *range(len(config.outputs))):
        name = None if channel is None else config.outputs[channel]
        state: dict[str, Any] = {"channel": channel, "scale": "grey"}
        grey = segmentation.view("probability", class_name=name).astype(int)
        assert np.abs(pixels(page, view="probability", **state) - grey).max() <= 1
        for thresholds in ([0.5] * 5, [0.0] * 5, [1.0] * 5, [0.29, 0.57, 0.58, 0.07, 0.3]):
            limits = thresholds[: len(config.outputs)]
            for view in ("thresholded", "argmax", "overlay"):
                expected = segmentation.view(view, class_name=name, thresholds=limits)
                np.testing.assert_array_equal(pixels(page, view=view, thresholds=limits, **state), expected, view)
