"""A network on a picture of any size: the tiles must not be seen in the result, nor in the memory."""

import weakref
from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from unetseg.tiling import bands, kept, once_for_constants, resized, tiled

STRIDE = 4
SIDES = st.integers(1, 70)
TILES = st.sampled_from([8, 16, 20])


def watched(network: Callable[[Tensor], Tensor], calls: list[Tensor]) -> Callable[[Tensor], Tensor]:
    """The network, which notes every input."""

    def wrapper(x: Tensor) -> Tensor:
        calls.append(x)
        return network(x)

    return wrapper


def tiles_of(network: Callable[[Tensor], Tensor], x: Tensor, *, tile: int, overlap: int, channels: int = 2) -> Tensor:
    """A picture (C,H,W) through `tiled`, its bands together again (channels,H,W)."""
    found = tiled(
        network,
        lambda top, bottom: x[None, :, top:bottom],
        *x.shape[1:],
        channels=channels,
        stride=STRIDE,
        tile=tile,
        overlap=overlap,
    )
    return torch.cat(list(found), dim=2)[0]


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

    result = tiles_of(network, x, tile=tile, overlap=overlap, channels=4)
    assert (result.dtype, result.device.type) == (torch.float32, "cpu")
    torch.testing.assert_close(result[:2], x + 1)
    torch.testing.assert_close(result, tiles_of(network, x, tile=80, overlap=0, channels=4))


@given(height=SIDES, width=SIDES, tile=TILES, data=st.data())
def test_the_network_never_sees_more_than_a_tile(height: int, width: int, tile: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, tile - 1))
    calls: list[Tensor] = []
    tiles_of(watched(lambda x: x, calls), coordinates(height, width), tile=tile, overlap=overlap)
    for call in calls:
        assert call.shape[:2] == (1, 2)
        assert all(side <= tile and side % STRIDE == 0 for side in call.shape[2:])


@given(height=st.integers(1, 20), width=st.integers(1, 20))
def test_a_picture_up_to_a_tile_is_run_whole_with_its_border_repeated(height: int, width: int) -> None:
    calls: list[Tensor] = []
    x = coordinates(height, width)
    tiles_of(watched(lambda x: x, calls), x, tile=20, overlap=8)
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
        whole = tiles_of(convolutions, x, tile=128, overlap=8)
        parts = tiles_of(watched(convolutions, calls), x, tile=20, overlap=8)
    assert len(calls) > 1
    assert len({call.shape for call in calls}) == 1, "tiles of one shape: a compiled network is compiled once"
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
    result = tiles_of(
        lambda x: torch.full((1, 1, *x.shape[2:]), float(next(answers) % 2)),
        torch.rand(1, 16, 300),
        tile=64,
        overlap=16,
        channels=1,
    )
    assert next(answers) > 4
    assert result.min() == 0
    assert result.max() == 1
    assert result.diff(dim=2).abs().max() < 2 / 16


@pytest.mark.parametrize(("tile", "overlap"), [(18, 4), (16, 16), (16, 17), (16, -1)])
def test_tiles_that_can_not_be_laid_are_refused(tile: int, overlap: int) -> None:
    with pytest.raises(ValueError, match=f"tile {tile} must be a multiple of 4 and larger than the overlap {overlap}"):
        tiles_of(lambda x: x, torch.zeros(1, 8, 8), tile=tile, overlap=overlap, channels=1)


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=8), data=st.data())
def test_rows_are_those_of_all_bands_wherever_they_begin(sizes: list[int], data: st.DataObject) -> None:
    whole = torch.arange(sum(sizes)).reshape(1, 1, -1, 1).float()
    rows = kept(iter(whole.split(sizes, dim=2)))
    top = bottom = 0
    while bottom < sum(sizes):
        bottom = data.draw(st.integers(bottom + 1, sum(sizes)))
        assert torch.equal(rows(top, bottom), whole[:, :, top:bottom])
        top = data.draw(st.integers(top, bottom - 1))


def test_what_lies_above_is_forgotten() -> None:
    alive: list[weakref.ref[Tensor]] = []

    def made() -> Iterator[Tensor]:
        for number in range(8):
            band = torch.full((1, 1, 4, 2), float(number))
            alive.append(weakref.ref(band))
            yield band

    rows = kept(made())
    for top in range(0, 30, 2):
        rows(top, top + 2)
        assert sum(band() is not None for band in alive) <= 2


@given(height=st.integers(300, 500), width=st.integers(2, 40), new=st.tuples(st.integers(1, 700), st.integers(2, 50)))
@settings(max_examples=30)
@pytest.mark.parametrize("antialias", [True, False])
def test_a_picture_resized_row_by_row_is_that_resized_at_once(
    height: int, width: int, new: tuple[int, int], antialias: bool
) -> None:
    picture = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    rows = resized(lambda top, bottom: picture[:, :, top:bottom], (height, width), new, antialias=antialias)
    whole = F.interpolate(picture, new, mode="bilinear", antialias=antialias, align_corners=False)
    torch.testing.assert_close(rows(0, new[0]), whole, atol=0, rtol=0)
    parts = torch.cat([rows(top, min(top + 100, new[0])) for top in range(0, new[0], 100)], dim=2)
    torch.testing.assert_close(parts, whole, atol=2e-4, rtol=0)


def test_bands_cover_each_row_once() -> None:
    for height in (1, 1024, 1025, 3000):
        edges = bands(height)
        assert [edge for band in edges for edge in band] == sorted(edge for band in edges for edge in band)
        assert sum(bottom - top for top, bottom in edges) == height


@pytest.mark.parametrize("colour", [0.0, 0.5])
def test_of_tiles_of_one_colour_one_is_run(colour: float) -> None:
    torch.manual_seed(0)
    pointwise, calls = nn.Conv2d(2, 2, 1), list[Tensor]()
    x = torch.full((2, 200, 40), colour)
    x[:, 150:] = torch.rand(2, 50, 40)
    with torch.no_grad():
        found = tiles_of(once_for_constants(watched(pointwise, calls)), x, tile=20, overlap=8)
        torch.testing.assert_close(found, pointwise(x))
    assert sum(bool((call == call[:, :, :1, :1]).all()) for call in calls) == 1
    assert len(calls) > 5


@pytest.mark.parametrize(("old", "new"), [((4000, 8), (16, 3)), ((4000, 8), (4000, 3)), ((4000, 8), (700, 8))])
def test_of_a_high_picture_few_rows_are_asked_for_at_once_however_small_it_becomes(
    old: tuple[int, int], new: tuple[int, int]
) -> None:
    picture, asked = torch.rand(1, 1, *old), list[int]()

    def read(top: int, bottom: int) -> Tensor:
        asked.append(bottom - top)
        return picture[:, :, top:bottom]

    found = resized(read, old, new, antialias=True)(0, new[0])
    torch.testing.assert_close(
        found, F.interpolate(picture, new, mode="bilinear", antialias=True, align_corners=False), atol=2e-4, rtol=0
    )
    assert max(asked) <= max(64 + 2 * old[0] / new[0] + 2, 2 * old[0] / new[0] + 2)


@pytest.mark.parametrize("width", [1, 5])
def test_a_picture_that_becomes_one_column_is_reduced_as_any_other(width: int) -> None:
    """Where torch 2.13 repeats its first row."""
    picture = (torch.arange(90.0) ** 2).reshape(1, 1, 90, 1).repeat(1, 1, 1, width)
    found = resized(lambda top, bottom: picture[:, :, top:bottom], (90, width), (9, 1), antialias=True)(0, 9)
    wide = F.interpolate(picture.repeat(1, 1, 1, 2), (9, 2), mode="bilinear", antialias=True, align_corners=False)
    torch.testing.assert_close(found, wide[..., :1], atol=0.1, rtol=1e-4)
