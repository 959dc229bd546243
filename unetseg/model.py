"""The network: a U-Net (Ronneberger et al. 2015, arXiv 1505.04597) in one file.

Differences from the paper: padded convolutions, so that output and input have the same size, and batch
normalisation after each convolution.
"""

from __future__ import annotations

import copy
import itertools
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from . import hub
from .config import SegmentationConfig
from .gate import pooled
from .hub.download import Access, Source, with_papers
from .hub.upload import Pushed, Writing, push


def double_convolution(inputs: int, outputs: int) -> nn.Sequential:
    """(3x3 convolution, batch norm, ReLU) twice."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class UNet(nn.Module):
    """A contracting path, an expanding path, skip connections, and a 1x1 convolution to logits.

    There is no activation at the end: the losses contain it, and `task.activate` applies it.
    source: the checkpoint that the weights came from, if any.
    """

    source: Source | None = None

    def __init__(self, config: SegmentationConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.contracting = nn.ModuleList(
            double_convolution(i, o) for i, o in zip((len(config.channels), *widths), widths, strict=False)
        )
        self.pool: nn.Module = nn.MaxPool2d(2)
        steps = list(itertools.pairwise(reversed(widths)))
        self.upsampling = nn.ModuleList(nn.ConvTranspose2d(i, o, 2, stride=2) for i, o in steps)
        self.expanding = nn.ModuleList(double_convolution(2 * o, o) for _, o in steps)
        self.head = nn.Conv2d(widths[0], len(config.outputs), 1)

    @property
    def stride(self) -> int:
        """Height and width of an input are multiples of this many pixels."""
        return self.config.stride

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B,K,H,W) of pictures (B,C,H,W), normalised as `prepare` does."""
        return self._expanded(self._contracted(x))

    def with_features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits as `forward` gives them, and what `gate.pooled` leaves of the contracting path: (B,n,F)."""
        maps = self._contracted(x)
        return self._expanded(maps), pooled(maps)

    def features(self, x: Tensor) -> Tensor:
        """What `gate.pooled` leaves of the contracting path alone: (B,n,F)."""
        return pooled(self._contracted(x))

    def _contracted(self, x: Tensor) -> list[Tensor]:
        if x.dim() != 4 or x.shape[1] != len(self.config.channels) or any(s % self.stride for s in x.shape[2:]):
            raise ValueError(
                f"UNet got a tensor of shape {tuple(x.shape)}, expected (B, {len(self.config.channels)}, H, W) "
                f"with H and W multiples of {self.stride}; Predictor takes pictures of any size"
            )
        maps: list[Tensor] = []
        for depth, block in enumerate(self.contracting):
            x = block(x if depth == 0 else self.pool(x))  # (B, widths[depth], H / 2**depth, W / 2**depth)
            maps.append(x)
        return maps

    def _expanded(self, maps: Sequence[Tensor]) -> Tensor:
        *skips, x = maps
        for upsample, block in zip(self.upsampling, self.expanding, strict=True):
            x = block(torch.cat([skips.pop(), upsample(x)], dim=1))  # twice the height and width of before
        logits: Tensor = self.head(x)  # (B, K, H, W)
        return logits

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        revision: str | None = None,
        **access: Unpack[Access],
    ) -> UNet:
        """The network of a checkpoint, on the CPU, in eval mode.

        name: a folder, a name under `checkpoints/`, or `owner/name[@revision]` on the hub.
        revision: on the hub, a branch, a tag or a commit hash.
        access: token, cache_dir, local_files_only, force_download; see `hub.download.Access`.
        """
        source = hub.find(name, revision=revision, **access)
        config, weights = hub.load(source.folder)
        network = cls(config)
        network.load_state_dict(weights)
        network.source = source
        return network.eval()

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write a checkpoint to a folder, whole or not at all: `config.json` and `model.safetensors`.

        The README, scores and pictures of the checkpoint that the weights came from go with them, as far as they
        are on this machine and as long as neither the weights nor the config were changed.
        """
        return hub.save(Path(folder), self.config, self.state_dict(), self._papers())

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str | None = None,
        tags: Sequence[str] = (),
        **writing: Unpack[Writing],
    ) -> Pushed:
        """Put up what `save_pretrained` writes as the model repo `owner/name`, in one commit; see `hub.upload.push`.

        tags: of the card, beside its own. writing: private, branch, create_pr, token, overwrite_card; see
        `hub.upload.Writing`. Of a checkpoint of the hub, the README, scores and pictures are got first.
        """
        if self.source is not None and self.source.commit is not None:
            with_papers(self.source, writing.get("token"))
        with tempfile.TemporaryDirectory() as folder:
            saved = self.save_pretrained(Path(folder, repo_id.rpartition("/")[2]))
            return push(saved, repo_id, commit_message=commit_message, tags=tags, **writing)

    def _papers(self) -> dict[str, bytes]:
        if self.source is None or not self.source.folder.is_dir():
            return {}
        config, weights = hub.load(self.source.folder)
        if config != self.config:
            return {}
        same = all(torch.equal(weights[name], value.cpu()) for name, value in self.state_dict().items())
        return hub.companions(self.source.folder) if same else {}


def fused(network: UNet) -> UNet:
    """A copy for prediction: each batch norm folded into the convolution before it (exact in eval mode)."""
    network = copy.deepcopy(network).eval()
    for path in (network.contracting, network.expanding):
        for i, block in enumerate(path):
            layers: list[Any] = list(block.children())
            path[i] = nn.Sequential(
                fuse_conv_bn_eval(layers[0], layers[1]),
                nn.ReLU(inplace=True),
                fuse_conv_bn_eval(layers[3], layers[4]),
                nn.ReLU(inplace=True),
            )
    return network


class ConvolutionReLU(nn.Module):
    """A 3x3 convolution and its ReLU in one pass over memory, weights laid out once: to predict on a CPU by oneDNN.

    Both operations are torch's own, those that its compiler takes; they have no public name.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        shape = [1, convolution.in_channels, 64, 64]  # any that is typical
        weight = torch.ops.mkldnn._reorder_convolution_weight(convolution.weight, [1, 1], [1, 1], [1, 1], 1, shape)
        self.weight, self.bias = weight.detach(), convolution.bias

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,H,W) to (B,O,H,W)."""
        found: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, self.weight, self.bias, [1, 1], [1, 1], [1, 1], 1, "relu", [], ""
        )
        return found


class Halving(nn.Module):
    """Maximum pooling by 2 on a CPU: torch's own also notes where each maximum was, and takes twice as long."""

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,H,W) to (B,C,H/2,W/2)."""
        rows = torch.maximum(x[:, :, 0::2], x[:, :, 1::2])
        return torch.maximum(rows[..., 0::2], rows[..., 1::2])


def packed(network: UNet) -> UNet:
    """A copy of a `fused` network for predicting on a CPU, 10 to 15 % faster and the same in bfloat16 bit for bit.

    It is the network itself where torch has no oneDNN, or a CPU that oneDNN doesn't know to multiply bfloat16.
    """
    bfloat16 = network.head.weight.dtype == torch.bfloat16
    if not torch._C._has_mkldnn or (bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        return network
    network = copy.deepcopy(network)
    network.pool = Halving()
    for path in (network.contracting, network.expanding):
        for i, block in enumerate(path):
            layers: list[Any] = list(block.children())
            path[i] = nn.Sequential(ConvolutionReLU(layers[0]), ConvolutionReLU(layers[2]))
    return network


_Run = Callable[[Tensor], tuple[Tensor, Tensor]]


class Faster:
    """A network that is compiled for the first shapes of input it meets, and taken so where that is faster.

    always: take it whether it is faster or not. A shape takes some ten seconds or more, so for a long job alone.
    """

    MOST = 4  # as scales, and tiles at two of them

    def __init__(self, network: UNet, plain: UNet, *, always: bool = False) -> None:
        """network: as it runs otherwise. plain: the same of ordinary layers, which the compiler knows."""
        self.network, self.plain, self.always = network, plain, always
        self.chosen: dict[tuple[int, ...], _Run] = {}
        self.lock = threading.Lock()

    def with_features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """As `UNet.with_features`."""
        shape = tuple(x.shape)
        with self.lock:
            if shape not in self.chosen:
                self.chosen[shape] = self._choose(x) if len(self.chosen) < self.MOST else self.network.with_features
        return self.chosen[shape](x)

    @property
    def said(self) -> str:
        """For which shapes the compiled network was taken."""
        with self.lock:
            taken = [shape for shape, way in self.chosen.items() if way != self.network.with_features]
        return f"compiled for {', '.join('x'.join(map(str, shape)) for shape in taken) or 'nothing, it was no faster'}"

    def _choose(self, x: Tensor) -> _Run:
        # frozen weights are laid out once; threads stay those of each call
        options: dict[str, Any] = {"freezing": True, "cpp.dynamic_threads": True} if x.device.type == "cpu" else {}
        compiled: _Run = torch.compile(self.plain.with_features, dynamic=False, options=options)
        try:
            compiled(x)
        except Exception as error:  # as without a compiler for C++; torch raises what its parts raise
            if self.always:
                reason = str(error).strip().partition("\n")[0]
                raise ValueError(f"the network can't be compiled here ({reason}); leave out --compile always") from None
            return self.network.with_features
        if self.always:
            return compiled
        slow, fast = (min(_seconds(way, x) for _ in range(3)) for way in (self.network.with_features, compiled))
        return compiled if fast < slow else self.network.with_features


def _seconds(network: _Run, x: Tensor) -> float:
    started = time.perf_counter()
    network(x)[0].cpu()
    return time.perf_counter() - started
