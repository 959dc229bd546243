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


def test_a_config_knows_the_names_and_shapes_of_its_networks_weights(config: SegmentationConfig) -> None:
    for widths in ((4, 8), (3, 5, 7, 2)):
        changed = config.model_copy(update={"widths": widths, **RGB})
        weights = UNet(changed).state_dict()
        assert changed.weights == {name: tuple(weight.shape) for name, weight in weights.items()}
        assert {name for name, shape in changed.weights.items() if not shape} == {
            name for name, weight in weights.items() if not weight.is_floating_point()
        }


def test_a_config_knows_how_many_parameters_its_network_has(config: SegmentationConfig) -> None:
    for widths in ((4, 8), (3, 5, 7, 2)):
        changed = config.model_copy(update={"widths": widths})
        assert changed.parameters == sum(parameter.numel() for parameter in UNet(changed).parameters())


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
