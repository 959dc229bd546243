"""A network on a picture of any size: the tiles must not be seen in the result, nor in the memory."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from unetseg.tiling import tiled

STRIDE = 4
SIDES = st.integers(1, 70)
TILES = st.sampled_from([8, 16, 20])


def watched(network: Callable[[Tensor], Tensor], calls: list[Tensor]) -> Callable[[Tensor], Tensor]:
    """The network, which notes every input."""

    def wrapper(x: Tensor) -> Tensor:
        calls.append(x)
        return network(x)

    return wrapper


def coordinates(height: int, width: int) -> Tensor:
    """A picture (2,H,W) whose pixels say where they are."""
    return torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")).float()


@given(height=SIDES, width=SIDES, tile=TILES, data=st.data())
def test_a_network_that_looks_at_single_pixels_or_pools_them_gives_the_same_tiled(
    height: int, width: int, tile: int, data: st.DataObject
) -> None:
    """The weights of a pixel's tiles add up to 1, and tiles lie on the grid of the pooling."""
    overlap = data.draw(st.integers(0, tile - 1))
    x = coordinates(height, width)

    def network(part: Tensor) -> Tensor:
        pooled = F.interpolate(F.max_pool2d(part, STRIDE), scale_factor=STRIDE)
        return torch.cat([part + 1, pooled], dim=1)

    result = tiled(network, x, channels=4, stride=STRIDE, tile=tile, overlap=overlap)
    assert (result.dtype, result.device.type) == (torch.float32, "cpu")
    torch.testing.assert_close(result[:2], x + 1)
    torch.testing.assert_close(result, tiled(network, x, channels=4, stride=STRIDE, tile=80, overlap=0))


@given(height=SIDES, width=SIDES, tile=TILES, data=st.data())
def test_the_network_never_sees_more_than_a_tile(height: int, width: int, tile: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, tile - 1))
    calls: list[Tensor] = []
    tiled(
        watched(lambda x: x, calls), coordinates(height, width), channels=2, stride=STRIDE, tile=tile, overlap=overlap
    )
    for call in calls:
        assert call.shape[:2] == (1, 2)
        assert all(side <= tile and side % STRIDE == 0 for side in call.shape[2:])


@given(height=st.integers(1, 20), width=st.integers(1, 20))
def test_a_picture_up_to_a_tile_is_run_whole_with_its_border_repeated(height: int, width: int) -> None:
    calls: list[Tensor] = []
    x = coordinates(height, width)
    tiled(watched(lambda x: x, calls), x, channels=2, stride=STRIDE, tile=20, overlap=8)
    (call,) = calls
    rows = torch.arange(call.shape[2]).clamp(max=height - 1)
    columns = torch.arange(call.shape[3]).clamp(max=width - 1)
    assert torch.equal(call[0], x[:, rows][:, :, columns])
    assert 0 <= call.shape[2] - height < STRIDE
    assert 0 <= call.shape[3] - width < STRIDE


@pytest.mark.parametrize(("height", "width"), [(64, 64), (40, 61), (1, 100), (100, 3), (37, 20)])
def test_away_from_the_borders_of_tiles_a_convolution_gives_the_same_tiled(height: int, width: int) -> None:
    """Three 3 x 3 convolutions see 3 pixels far; with an overlap of 8 most pixels are far from any border."""
    torch.manual_seed(0)
    convolutions = nn.Sequential(*(nn.Conv2d(c, 2, 3, padding=1) for c in (2, 2, 2)))
    calls: list[Tensor] = []
    x = coordinates(height, width) / 100
    with torch.no_grad():
        whole = tiled(convolutions, x, channels=2, stride=STRIDE, tile=128, overlap=8)
        parts = tiled(watched(convolutions, calls), x, channels=2, stride=STRIDE, tile=20, overlap=8)
    assert len(calls) > 1
    same = torch.ones(height, width, dtype=torch.bool)
    for call in calls:  # the pixels of a tile say where it lies
        top, left = (call[0, :, 0, 0] * 100).round().int().tolist()
        for start, length, size, strip in ((top, call.shape[2], height, same), (left, call.shape[3], width, same.T)):
            if start > 0:
                strip[start : start + 3, :] = False
            if start + length < size:
                strip[start + length - 3 : start + length, :] = False
    assert same.float().mean() > 0.2
    torch.testing.assert_close(parts[:, same], whole[:, same])


def test_tiles_that_disagree_leave_no_seam() -> None:
    """A network that answers 0 for one tile and 1 for the next: between them the result rises little by little."""
    answers = iter(range(100))
    result = tiled(
        lambda x: torch.full((1, 1, *x.shape[2:]), float(next(answers) % 2)),
        torch.zeros(1, 16, 300),
        channels=1,
        stride=STRIDE,
        tile=64,
        overlap=16,
    )
    assert next(answers) > 4
    assert result.min() == 0
    assert result.max() == 1
    assert result.diff(dim=2).abs().max() < 2 / 16


@pytest.mark.parametrize(("tile", "overlap"), [(18, 4), (16, 16), (16, 17), (16, -1)])
def test_tiles_that_can_not_be_laid_are_refused(tile: int, overlap: int) -> None:
    with pytest.raises(ValueError, match=f"tile {tile} must be a multiple of 4 and larger than the overlap {overlap}"):
        tiled(lambda x: x, torch.zeros(1, 8, 8), channels=1, stride=STRIDE, tile=tile, overlap=overlap)
