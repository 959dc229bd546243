"""How far a picture is from those that a network was trained on, by what its contracting path makes of both.

Means and standard deviations of the deepest feature maps, window by window, and the mean distance to the nearest of
those of the training (k nearest neighbours on pooled bottleneck features: Woodland et al., MELBA 2024:020). Beside it a
linear classifier on the same numbers, which tells a picture that is turned, mirrored or inverted.

Shapes: B pictures, n windows of each, F features, N known windows, P principal components, C channels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import safetensors
import torch
from torch import Tensor
from torch.nn import functional as F

from .config import SegmentationConfig
from .files import GATE, GATE_BYTES, WEIGHTS, one_line

DEPTHS = 3
"""So many of the deepest feature maps are looked at."""
WINDOW = 256
"""Pixels a side, about, of the part of a picture that is compared as one, at the size the network sees."""
NEAREST = 5
MOST_KNOWN = 2000
COMPONENTS, NUMBERS = 64, 200_000
"""Principal components that are kept, and numbers that they consist of: fewer of a very wide network."""
AT_ONCE = 4096
"""Windows that are compared at once."""
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
VIEWS = 9
"""Upright, the seven other turns and mirror images as `turned` numbers them, and inverted."""
INVERTED = 8


def pooled(maps: Sequence[Tensor]) -> Tensor:
    """Feature maps of a contracting path, (B,c,h,w) each, the deepest last, to (B,n,F) in float32."""
    stride = 2 ** (len(maps) - 1)
    height, width = (max(1, round(side * stride / WINDOW)) for side in maps[-1].shape[2:])
    found = []
    for x in maps[-DEPTHS:]:
        # there windows must divide a map: pytorch/pytorch issue 143864
        x = (x.cpu() if x.device.type == "mps" else x).float()
        mean, square = (F.adaptive_avg_pool2d(values, (height, width)) for values in (x, x.square()))
        found += [mean, (square - mean.square()).clamp_(min=0).sqrt_()]
    return torch.cat(found, dim=1).flatten(2).transpose(1, 2)


def features(config: SegmentationConfig) -> int:
    """F of a network's `pooled`."""
    return 2 * sum(config.widths[-DEPTHS:])


def turned(x: Tensor, view: int) -> Tensor:
    """A picture (...,H,W) in one of eight views: turned by `view // 2` quarters to the left, an odd one mirrored then.

    >>> turned(torch.tensor([[1, 2], [3, 4]]), 3).tolist()
    [[4, 2], [3, 1]]
    """
    x = torch.rot90(x, view // 2, (-2, -1)) if view > 1 else x
    return x.flip(-1) if view % 2 else x


def turned_back(x: Tensor, view: int) -> Tensor:
    """What `turned` was given.

    >>> turned_back(turned(torch.tensor([[1, 2], [3, 4]]), 3), 3).tolist()
    [[1, 2], [3, 4]]
    """
    x = x.flip(-1) if view % 2 else x
    return torch.rot90(x, -(view // 2), (-2, -1)) if view > 1 else x


def _after() -> list[list[int]]:
    """The view in which one sees, in view g, what lies in view t already: by t, then g."""
    mark = torch.arange(4).view(2, 2)
    views = [turned(mark, view).tolist() for view in range(INVERTED)]
    return [[views.index(turned(turned(mark, t), g).tolist()) for g in range(INVERTED)] for t in range(INVERTED)]


AFTER = _after()


@dataclass(frozen=True)
class Gate:
    """What is known of the pictures that a network was trained on.

    center, spread: (F,), to standardise with. basis: (F,P), to principal components of variance 1. known: (N,P).
    limit: the distance beyond which a picture is foreign; None where too few pictures were held out to fit one.
    views: (F+1,9), a linear classifier with its bias last; None where training turns pictures anyway.
    margin: how much likelier, in logarithms, another view must be than upright to be spoken of.
    intensities: (C,7), percentiles of the training pictures from 0 to 1, see PERCENTILES.
    """

    center: Tensor
    spread: Tensor
    basis: Tensor
    known: Tensor
    intensities: Tensor
    limit: float | None = None
    views: Tensor | None = None
    margin: float = 0.0

    def distances(self, features: Tensor) -> Tensor:
        """Of pictures (B,n,F) the mean over their windows of the mean distance to the nearest that are known: (B,)."""
        count = min(NEAREST, len(self.known))
        nearest = [
            torch.cdist(self._standard(some) @ self.basis, self.known).topk(count, largest=False).values.mean(dim=1)
            for some in torch.split(features.flatten(0, 1), AT_ONCE)
        ]
        return torch.cat(nearest).view(features.shape[:2]).mean(dim=1)

    def upright(self, features: Tensor) -> Tensor:
        """The probability that pictures (B,n,F) are neither turned nor mirrored nor inverted: (B,)."""
        return self.seen_as(features)[:, 0].exp()

    def seen_as(self, features: Tensor) -> Tensor:
        """The logarithms of the probabilities of each view, the mean over windows: (B,9)."""
        assert self.views is not None
        scores = self._standard(features) @ self.views[:-1] + self.views[-1]
        return scores.log_softmax(dim=2).mean(dim=1)

    def view(self, seen: Tensor) -> tuple[int, float]:
        """In which view a picture lies, and how much likelier that is than upright, in logarithms.

        seen: (8,9), `seen_as` of the picture in each of its eight views: all must agree.
        """
        likely = [sum(float(seen[g, AFTER[t][g]]) for g in range(INVERTED)) for t in range(INVERTED)]
        best = max(range(INVERTED), key=likely.__getitem__)
        return best, likely[best] - likely[0]

    def save(self, weights: bytes) -> bytes:
        """The file, bound to the weights in a `model.safetensors`."""
        from safetensors.torch import save

        tensors = {name: getattr(self, name) for name in ("center", "spread", "basis", "known", "intensities")}
        tensors["limits"] = torch.tensor([torch.nan if self.limit is None else self.limit, self.margin])
        tensors["weights"] = torch.tensor(list(hashlib.sha256(weights).digest()), dtype=torch.uint8)
        if self.views is not None:
            tensors["views"] = self.views
        return save({name: tensor.contiguous() for name, tensor in tensors.items()})

    @classmethod
    def load(cls, folder: Path, config: SegmentationConfig) -> Gate | None:
        """The gate of a checkpoint's folder; None where there is none.

        ValueError of one sentence for one that is damaged, or belongs to other weights.
        """
        path = folder / GATE
        if not path.is_file():
            return None
        if path.stat().st_size > GATE_BYTES:
            raise ValueError(f"{path} has {path.stat().st_size:,} bytes, expected at most {GATE_BYTES:,}")
        from safetensors.torch import load

        try:
            tensors = load(path.read_bytes())
        except (safetensors.SafetensorError, OSError) as error:
            raise ValueError(
                f"{path} is not a whole safetensors file ({one_line(error)}); get or save it again"
            ) from None
        _check(path, tensors, config)
        if bytes(tensors.pop("weights").tolist()) != hashlib.sha256((folder / WEIGHTS).read_bytes()).digest():
            raise ValueError(f"{path} belongs to other weights than {WEIGHTS} beside it")
        limit, margin = tensors.pop("limits").tolist()
        return cls(**tensors, limit=None if limit != limit else limit, margin=margin)

    def _standard(self, features: Tensor) -> Tensor:
        return (features - self.center) / self.spread


def _check(path: Path, tensors: Mapping[str, Tensor], config: SegmentationConfig) -> None:
    """ValueError for names, types, shapes or numbers that no gate of this network has."""
    count = features(config)
    # 0 where a tensor has no axis at all, which fits nothing
    rows = next(iter(tensors["known"].shape), 0) if "known" in tensors else 0
    parts = next(reversed(tensors["basis"].shape), 0) if "basis" in tensors else 0
    expected: dict[str, tuple[int, ...]] = {
        "center": (count,),
        "spread": (count,),
        "basis": (count, parts),
        "known": (rows, parts),
        "intensities": (len(config.channels), len(PERCENTILES)),
        "limits": (2,),
        "weights": (32,),
    }
    if "views" in tensors:
        expected["views"] = (count + 1, VIEWS)
    if different := sorted(expected.keys() ^ tensors.keys()):
        raise ValueError(f"{path} is no gate of this network: {different[0]!r} is lacking or unknown")
    for name, shape in expected.items():
        tensor, kind = tensors[name], torch.uint8 if name == "weights" else torch.float32
        if tensor.shape != shape or tensor.dtype != kind or not tensor.numel():
            came, fits = (
                f"{str(d).removeprefix('torch.')} {tuple(s)}" for d, s in ((tensor.dtype, tensor.shape), (kind, shape))
            )
            raise ValueError(f"{path} is no gate of this network: {name} is {came}, expected {fits}")
        # a lower bound keeps what is computed finite; of the limits the first may be none
        values = tensor.float().abs()
        fine = bool((values < 1e9).all()) and (name != "spread" or bool((tensor > 1e-9).all()))
        if name == "limits":
            limit, margin = tensor.tolist()
            fine = (limit != limit or 0 < limit < 1e9) and 0 <= margin < 1e9
        if not fine:
            raise ValueError(f"{path} is damaged: {name} holds what is no such number; get or save it again")


def fitted(trained_on: Tensor, intensities: Tensor, *, views: Sequence[Tensor] = ()) -> Gate:
    """The gate of a network by windows of its training pictures (N,F), without a limit.

    views: (N,F) of the same or other pictures, in each of the nine VIEWS.
    """
    some = trained_on[evenly_chosen(len(trained_on), MOST_KNOWN)]
    center, spread = trained_on.mean(dim=0), trained_on.std(dim=0, correction=0).clamp(min=1e-6)
    standard = (some - center) / spread
    _, strength, directions = torch.linalg.svd(standard, full_matrices=False)
    most = min(COMPONENTS, NUMBERS // len(center))
    kept = int((strength[:most] > 1e-3 * strength[0]).sum())  # fewer where there are few windows
    # each component counts alike: else the strongest, which tell CT from CT, hide what no CT has
    basis = (directions[:kept] * (len(standard) ** 0.5 / strength[:kept, None])).T.contiguous()
    gate = Gate(center, spread, basis, standard @ basis, intensities)
    return replace(gate, views=_classifier([gate._standard(x) for x in views])) if views else gate


def evenly_chosen(count: int, most: int) -> list[int]:
    """At most so many numbers below `count`, evenly spread.

    >>> evenly_chosen(7, 3), evenly_chosen(2, 3)
    ([0, 2, 4], [0, 1])
    """
    most = min(count, most)
    return [number * count // most for number in range(most)]


def _classifier(views: Sequence[Tensor]) -> Tensor:
    """Logistic regression (F+1,9) on the views of standardised windows, (N,F) each."""
    x = torch.cat(list(views))
    x = torch.cat([x, x.new_ones(len(x), 1)], dim=1)
    target = torch.repeat_interleave(torch.arange(len(views)), torch.tensor([len(v) for v in views]))
    weights = x.new_zeros(x.shape[1], len(views), requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(x @ weights, target) + 0.01 * weights[:-1].square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return weights.detach()
