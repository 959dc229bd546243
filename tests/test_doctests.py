"""The examples in the docstrings of what everything else stands on; a public function there has one."""

import doctest
import inspect
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from configs import config_for, picture_config

import unetseg.formats.image
import unetseg.prepare
import unetseg.scores.metrics
import unetseg.scores.picture
import unetseg.task

GREY: dict[str, Any] = {"mean": (0.5,), "std": (0.25,), "window": (-100, 100)}
NAMES = {
    "np": np,
    "torch": torch,
    "as_image": unetseg.formats.as_image,
    "Image": unetseg.Image,
    "liver": config_for("binary", **GREY),
    "small": config_for("binary", **GREY, working_size=16),
    "land": config_for("multiclass"),
    "animals": config_for("one-vs-rest with background"),
    "digits": picture_config(classes=("zero", "one")),
}
MODULES = (unetseg.task, unetseg.scores.metrics, unetseg.scores.picture, unetseg.formats.image, unetseg.prepare)
# a record of fields shows what it holds; as_image makes one
WITHOUT = {"Damaged", "Image", "Place", "Reading"}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_the_examples_are_true(module: ModuleType) -> None:
    found = [test for test in doctest.DocTestFinder().find(module, extraglobs=NAMES) if test.examples]
    runner = doctest.DocTestRunner()
    for test in found:
        assert runner.run(test).failed == 0, test.name  # doctest prints what came and what was expected
    public = {
        f"{module.__name__}.{name}"
        for name, thing in vars(module).items()
        if (inspect.isfunction(thing) or inspect.isclass(thing))
        and thing.__module__ == module.__name__
        and not name.startswith("_")
    }
    assert public - {test.name for test in found} == {f"{module.__name__}.{name}" for name in WITHOUT} & public
