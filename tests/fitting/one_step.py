"""Run by test_distributed.py under torchrun: one step of a run with frozen batch norms; writes its gradients."""

import sys
from pathlib import Path
from unittest import mock

import torch
from safetensors.torch import save_file
from torch import nn

from unetseg.fitting import Recipe, distributed, loop
from unetseg.fitting.data.augment import collate
from unetseg.fitting.data.folder import find_examples


def main(data: str, out: str, *recipes: str) -> None:
    """One step by each recipe on the pictures in `data`; `out` gets a file of gradients for each.

    In float32: in bfloat16, which some CPUs have, each process rounds its share of a gradient to 8 bits.
    """
    in_float32 = mock.patch.object(loop, "has_bfloat16", return_value=False)
    with in_float32, distributed.processes(torch.device("cpu")) as device:
        for path in map(Path, recipes):
            recipe = Recipe.from_file(path)
            examples = find_examples(recipe.data, Path(data))
            run = loop._Run(recipe, examples, Path(out), device, resume=False, init=None, scored=[], tensorboard=False)
            for module in run.network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    freeze(module)
            keys = distributed.share(run.crops.batches(0)[0])
            images, labels = run.crops.finished(collate([run.crops[key] for key in keys]))
            loss = run._step(run.wrapped(), images, labels)
            if distributed.rank() == 0:
                gradients = {
                    name: p.grad.contiguous() for name, p in run.network.named_parameters() if p.grad is not None
                }
                save_file({"loss": torch.tensor(loss), **gradients}, Path(out) / f"{path.stem}.safetensors")
    assert not threads_of_a_group()


def threads_of_a_group() -> list[str]:
    """The threads of gloo that live in this process, as Linux names them; none elsewhere."""
    names = (path.read_text() for path in Path("/proc/self/task").glob("*/comm"))
    return [name for name in names if "gloo" in name]


def freeze(module: nn.BatchNorm2d) -> None:
    """Let it normalise by its running statistics whatever mode its network is in."""
    module.eval()
    module.train = lambda mode=True: module  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    main(*sys.argv[1:])
