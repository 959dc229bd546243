"""How fast a picture is segmented: `python benchmarks/predict.py [--against CLONE]`, on an idle machine.

For each checkpoint, one picture of 512 x 512: the bare network at all scales, prepared as `Predictor` does (norms
folded, channels_last, bfloat16 where hardware has it); the whole path from the array to the labels; eager float32 as
everybody runs it; the compiled network; and OpenVINO in bfloat16, where it is installed. All take turns, and medians
are printed, with ratios to the bare network.

--against: a clone of another version; its whole path takes turns with this one's, in a process of its own.
--real: a folder of pictures, on which the labels are compared with those of float32.
--busy: prediction beside a process that keeps one core busy, against alone, with and without `unetseg.process`.
--profile: where the time of the whole path goes, by kind of operation.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a clone works without being installed

from unetseg.process import set_up  # noqa: E402

set_up()  # as the commands do

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.profiler import ProfilerActivity, profile  # noqa: E402

from unetseg import Predictor, UNet  # noqa: E402
from unetseg.formats import as_image, read_image  # noqa: E402
from unetseg.model import Faster, fused  # noqa: E402
from unetseg.prepare import prepare, rescale  # noqa: E402
from unetseg.samples import draw_sample  # noqa: E402

KINDS = {"satellite-unet": "aerial", "liver-unet": "ct"}
Ways = dict[str, Callable[[], Any]]

WHOLE = """
from unetseg import Predictor
predictor = Predictor.from_pretrained(sys.argv[2])
def run():
    predictor(picture).labels()
"""
EAGER = """
import torch
from unetseg import UNet
from unetseg.formats import as_image
from unetseg.prepare import prepare, rescale
network = UNet.from_pretrained(sys.argv[2])
x = prepare(as_image(picture), network.config)
inputs = [rescale(x, factor) for factor in network.config.scales]
@torch.no_grad()
def run():
    for x in inputs:
        network(x)
"""
OTHER = """
import sys, time
sys.path.insert(0, sys.argv[1])
{setup}
from unetseg.samples import draw_sample
picture = draw_sample(sys.argv[3], 3, 512)[0]
{what}
print("ready", flush=True)
for _ in sys.stdin:
    started = time.perf_counter()
    run()
    print(time.perf_counter() - started, flush=True)
"""
SET_UP = "from unetseg.process import set_up\nset_up()"


class Other:
    """A way of another version, or with other settings, in a process of its own that waits its turn."""

    def __init__(self, clone: Path, name: str, what: str = WHOLE, setup: str = "") -> None:
        code = OTHER.format(what=what, setup=setup)
        command = [sys.executable, "-c", code, str(clone), str(ROOT / "checkpoints" / name), KINDS[name]]
        env = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_"))}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        assert self._answer() == "ready"

    def __call__(self) -> float:
        """Seconds of one prediction."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self._answer())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


def medians(ways: Ways, rounds: int) -> dict[str, float]:
    """Milliseconds of each, the ways taking turns; a way that returns a float has measured its seconds itself.

    Each runs once before it is timed: what ran before has other things in the caches, and its threads may still spin.
    """
    for way in ways.values():
        way()
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            way()
            started = time.perf_counter()
            own = way()
            taken[name].append((own if isinstance(own, float) else time.perf_counter() - started) * 1e3)
    return {name: statistics.median(times) for name, times in taken.items()}


def inputs_of(predictor: Predictor, picture: Any) -> list[Tensor]:  # noqa: ANN401, an array
    """What the network is given at each scale, in float32."""
    x = prepare(as_image(picture), predictor.config)
    return [rescale(x, factor) for factor in predictor.config.scales]


def openvino_of(network: UNet, inputs: list[Tensor]) -> Callable[[], None] | None:
    """The network by OpenVINO in bfloat16; None where it is not installed."""
    try:
        import openvino
    except ImportError:
        return None
    requests = []
    for x in inputs:
        model = openvino.convert_model(network, example_input=x)
        requests.append(
            openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "bf16"}).create_infer_request()
        )
    arrays = [x.numpy() for x in inputs]

    def run() -> None:
        for request, array in zip(requests, arrays, strict=True):
            request.infer({0: array})

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoints", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--against", type=Path, help="a clone of another version")
    parser.add_argument("--real", type=Path, help="a folder of pictures of the checkpoint's kind")
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, CPU capability {torch.backends.cpu.get_cpu_capability()}", end="")
    print(f", bfloat16 in hardware: {torch.cpu._is_avx512_bf16_supported()}, AMX: {torch.cpu._is_amx_tile_supported()}")
    for name in options.checkpoints:
        if options.busy:
            beside_a_busy_process(name, options.rounds)
        elif options.profile:
            by_operation(name)
        elif options.real:
            against_float32(name, options.real)
        else:
            compare(name, options)


@torch.no_grad()
def compare(name: str, options: argparse.Namespace) -> None:
    predictor = Predictor.from_pretrained(ROOT / "checkpoints" / name)
    picture = draw_sample(KINDS[name], 3, 512)[0]
    inputs = inputs_of(predictor, picture)
    prepared = [x.to(predictor.dtype, memory_format=torch.channels_last) for x in inputs]
    eager = UNet.from_pretrained(ROOT / "checkpoints" / name)
    plainly = Other(ROOT, name, what=EAGER)  # as everybody runs it, in a process that nothing was set for
    ways: Ways = {
        "bare network": lambda: [predictor.network(x) for x in prepared],
        "whole path": lambda: predictor(picture).labels(),
        "eager float32": plainly,
    }
    plain = fused(eager).to(predictor.dtype)
    nn.utils.convert_conv2d_weight_memory_format(plain, torch.channels_last)
    compiled = Faster(predictor.network, plain, always=True)
    ways["compiled network"] = lambda: [compiled.with_features(x) for x in prepared]
    if openvino := openvino_of(fused(eager), inputs):
        ways["OpenVINO bfloat16"] = openvino
    other = Other(options.against, name) if options.against else None
    if other:
        ways["whole path of the other"] = other
    found = medians(ways, options.rounds)
    for process in (plainly, other):
        if process:
            process.close()
    bare = found["bare network"]
    print(f"\n{name} at scales {predictor.config.scales}, {predictor.dtype}, {options.rounds} rounds")
    print("| | ms | of the bare network |\n|---|---:|---:|")
    for way, milliseconds in found.items():
        print(f"| {way} | {milliseconds:.1f} | {milliseconds / bare:.2f} |")


def against_float32(name: str, folder: Path) -> None:
    fast = Predictor.from_pretrained(ROOT / "checkpoints" / name)
    exact = Predictor.from_pretrained(ROOT / "checkpoints" / name, precision="float32")
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    images = [read_image(path) for path in paths]
    same = [float((fast(image).labels() == exact(image).labels()).mean()) for image in images]
    worst = min(range(len(same)), key=same.__getitem__)
    print(
        f"{name}: labels of {fast.dtype} are those of float32 on {statistics.mean(same):.3%} of the pixels of", end=" "
    )
    print(f"{len(same)} pictures, on {same[worst]:.3%} of {paths[worst].name}")


def by_operation(name: str) -> None:
    predictor, picture, rounds = (
        Predictor.from_pretrained(ROOT / "checkpoints" / name),
        draw_sample(KINDS[name], 3, 512)[0],
        10,
    )
    for _ in range(3):
        predictor(picture).labels()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        started = time.perf_counter()
        for _ in range(rounds):
            predictor(picture).labels()
        total = (time.perf_counter() - started) / rounds * 1e3
    print(f"\n{name}: {total:.1f} ms a picture under the profiler\n| operation | ms | share |\n|---|---:|---:|")
    events = sorted(profiler.key_averages(), key=lambda event: -event.self_cpu_time_total)
    for event in events[:14]:
        milliseconds = event.self_cpu_time_total / rounds / 1e3
        print(f"| {event.key.removeprefix('aten::')} | {milliseconds:.2f} | {milliseconds / total:.1%} |")
    rest = total - sum(event.self_cpu_time_total for event in events) / rounds / 1e3
    print(f"| outside torch | {rest:.2f} | {rest / total:.1%} |")


@contextmanager
def one_core_busy() -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.5)
        yield
    finally:
        process.kill()
        process.wait()


def beside_a_busy_process(name: str, rounds: int) -> None:
    setups = {"as torch starts": "", "as the commands start": SET_UP}
    others = {what: Other(ROOT, name, setup=setup) for what, setup in setups.items()}
    ways: Ways = dict(others)
    alone = medians(ways, rounds)
    with one_core_busy():
        beside = medians(ways, rounds)
    print(f"\n{name}, {rounds} rounds\n| | alone, ms | beside a busy process, ms | ratio |\n|---|---:|---:|---:|")
    for what, other in others.items():
        other.close()
        print(f"| {what} | {alone[what]:.1f} | {beside[what]:.1f} | {beside[what] / alone[what]:.2f} |")


if __name__ == "__main__":
    main()
