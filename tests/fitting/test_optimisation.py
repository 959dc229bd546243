import pytest
import torch
from configs import config_for
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from unetseg import UNet
from unetseg.fitting.optimisation import Muon, optimizers, orthogonal
from unetseg.fitting.recipe import Train


@given(st.integers(1, 24), st.integers(1, 24), st.integers(0, 10**6), st.floats(1e-3, 1e3))
def test_orthogonal_keeps_singular_vectors_and_brings_singular_values_near_one(
    rows: int, columns: int, seed: int, scale: float
) -> None:
    few = min(rows, columns)
    generator = torch.Generator().manual_seed(seed)
    left = torch.linalg.qr(torch.randn(rows, few, generator=generator)).Q
    right = torch.linalg.qr(torch.randn(columns, few, generator=generator)).Q
    values = scale * (0.2 + 0.8 * torch.rand(few, generator=generator))
    made = orthogonal(left @ values.diag() @ right.T)
    assert made.shape == (rows, columns)
    assert made.dtype == torch.float32
    inner = left.T @ made @ right
    assert torch.all((inner.diag() > 0.55) & (inner.diag() < 1.35))
    # bfloat16 has three digits
    assert (inner - inner.diag().diag()).abs().max() < 0.15
    assert (made - left @ inner @ right.T).abs().max() < 0.15


def test_a_step_of_muon_is_as_long_as_the_rate_says_however_steep_the_loss() -> None:
    weights = []
    for steepness in (1e-4, 1e4):
        weight = nn.Parameter(torch.zeros(8, 4, 3, 3))
        weight.grad = steepness * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
        Muon([weight], lr=0.01, weight_decay=0).step()
        weights.append(weight.detach())
    assert nn.functional.cosine_similarity(*(weight.flatten() for weight in weights), dim=0) > 0.99
    for weight in weights:
        assert weight.square().mean().sqrt().item() == pytest.approx(0.2 * 0.01, rel=0.25)


def test_muon_decays_weights_as_adamw_does() -> None:
    weight = nn.Parameter(torch.ones(2, 2, 1, 1))
    weight.grad = torch.zeros_like(weight)
    Muon([weight], lr=0.1, weight_decay=0.5).step()
    torch.testing.assert_close(weight.detach(), torch.full((2, 2, 1, 1), 0.95))


def test_muon_has_the_inner_convolutions_and_adamw_all_the_rest() -> None:
    network = UNet(config_for("binary"))
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    muon, adamw = (
        [names[id(p)] for p in o.param_groups[0]["params"]] for o in optimizers(network, Train(optimizer="muon"))
    )
    assert sorted(muon + adamw) == sorted(names.values())
    assert all(network.get_parameter(name).dim() == 4 for name in muon)
    assert [name for name in adamw if network.get_parameter(name).dim() == 4] == [
        "contracting.0.0.weight",
        "head.weight",
    ]
