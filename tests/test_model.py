import pytest
import torch
from configs import RGB, config_for, network_for

from unetseg import SegmentationConfig, UNet
from unetseg.model import fused


def test_logits_have_a_channel_for_each_output_and_the_size_of_the_input(config: SegmentationConfig) -> None:
    assert UNet(config)(torch.zeros(2, 1, 6, 10)).shape == (2, len(config.outputs), 6, 10)


def test_a_deeper_network_halves_the_picture_more_often() -> None:
    network = UNet(config_for("binary", **RGB, widths=(2, 4, 6, 8)))
    assert network.stride == 8
    assert network(torch.zeros(1, 3, 8, 24)).shape == (1, 1, 8, 24)


def test_a_network_of_pixel_blocks_decides_for_every_pixel_alone() -> None:
    network = network_for(config_for("multiclass", **RGB, widths=(8, 12), pixel_unshuffle=2))
    assert network.stride == 4
    x = torch.randn(2, 3, 8, 12)
    with torch.no_grad():
        logits = network(x)
        assert logits.shape == (2, 3, 8, 12)
        blocks = logits.unflatten(2, (4, 2)).unflatten(4, (6, 2))  # (B, K, H / 2, 2, W / 2, 2)
        assert blocks.std(dim=(3, 5)).amin() > 0  # no two by two pixels share their logits


def test_blocks_of_pixels_are_folded_in_and_out_the_same_way() -> None:
    """A network that only copies its input's first channel gives it back pixel by pixel."""
    network = UNet(config_for("binary", widths=(8, 8), pixel_unshuffle=2)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        (first, *_), last = network.contracting[0], network.expanding[0]
        identity = torch.eye(4)
        first.weight[:4, :, 1, 1] = identity
        for block in (network.contracting[0], last):
            block[1].weight.fill_(1)
            block[4].weight.fill_(1)
            block[3].weight[:4, :4, 1, 1] = identity
        last[0].weight[:4, :4, 1, 1] = identity
        network.head.weight[:, :4, 0, 0] = identity
        x = torch.rand(1, 1, 8, 12)
        torch.testing.assert_close(network(x), x, atol=1e-3, rtol=0)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 3, 8, 8), (1, 1, 7, 8), (1, 1, 8, 9)])
def test_a_wrong_input_is_told_what_was_expected(shape: tuple[int, ...]) -> None:
    with pytest.raises(
        ValueError, match=r"got a tensor of shape .*, expected \(B, 1, H, W\) with H and W multiples of 2"
    ):
        UNet(config_for("binary"))(torch.zeros(shape))


def test_folding_the_batch_norms_changes_nothing(config: SegmentationConfig) -> None:
    network = network_for(config)
    x = torch.randn(2, 1, 16, 24)
    with torch.no_grad():
        expected = network(x)
        assert expected.std() > 0.1
        torch.testing.assert_close(fused(network)(x), expected, atol=1e-4, rtol=0)


def test_folding_leaves_the_network_as_it_was() -> None:
    network = network_for(config_for("binary")).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert not any("running_mean" in name for name in fused(network).state_dict())
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_no_part_of_the_network_is_idle() -> None:
    """A skip connection left out, or a block not called, would have no gradient."""
    network = network_for(config_for("multiclass", widths=(4, 6, 8))).train()
    network(torch.randn(2, 1, 16, 16)).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


def test_a_block_gets_the_skip_connection_first_and_then_what_comes_from_below() -> None:
    """The other order has weights of the same names and shapes, and reads every checkpoint wrongly."""
    network = network_for(config_for("binary"))  # widths 4 and 8
    x = torch.randn(1, 1, 12, 12)
    with torch.no_grad():
        network.upsampling[0].weight.zero_()  # nothing comes from below but a constant
        assert network(x).std() > 0.01
        network.expanding[0][0].weight[:, :4] = 0
        assert network(x)[..., 2:-2, 2:-2].std() < 1e-5


def test_the_names_of_the_weights_are_those_of_every_published_checkpoint() -> None:
    """Renaming a module makes all of them unreadable."""

    def double_convolution(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
        norm = ("weight", "bias", "running_mean", "running_var")
        return {
            f"{name}.0.weight": (outputs, inputs, 3, 3),
            **{f"{name}.1.{part}": (outputs,) for part in norm},
            f"{name}.1.num_batches_tracked": (),
            f"{name}.3.weight": (outputs, outputs, 3, 3),
            **{f"{name}.4.{part}": (outputs,) for part in norm},
            f"{name}.4.num_batches_tracked": (),
        }

    network = UNet(config_for("multiclass", **RGB, widths=(4, 6, 8)))
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == {
        **double_convolution("contracting.0", 3, 4),
        **double_convolution("contracting.1", 4, 6),
        **double_convolution("contracting.2", 6, 8),
        "upsampling.0.weight": (8, 6, 2, 2),
        "upsampling.0.bias": (6,),
        "upsampling.1.weight": (6, 4, 2, 2),
        "upsampling.1.bias": (4,),
        **double_convolution("expanding.0", 12, 6),
        **double_convolution("expanding.1", 8, 4),
        "head.weight": (3, 4, 1, 1),
        "head.bias": (3,),
    }
