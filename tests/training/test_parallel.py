"""A batch in parts, and blocks computed twice, against the plain step."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from gridcode.training.config import LoopConfig
from gridcode.training.fabric import make_fabric
from gridcode.training.parallel import adapt, in_parts


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))


@pytest.mark.parametrize("count", [1, 2, 3, 7, 50])
def test_parts_add_up_to_the_gradient_of_the_batch(count: int) -> None:
    fabric = make_fabric(LoopConfig(accelerator="cpu", precision="fp32"))
    plain, x = network(), torch.randn(7, 5, generator=torch.Generator().manual_seed(1))
    plain(x).square().mean().backward()
    parted = network()
    model, seen = fabric.setup(parted), 0.0
    for (part,), share in in_parts(fabric, model, (x,), count=count):
        fabric.backward(share * model(part).square().mean())
        seen += share
    assert seen == pytest.approx(1)
    for ours, theirs in zip(parted.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_recomputed_blocks_keep_names_results_and_gradients() -> None:
    plain = network()
    adapted = copy.deepcopy(plain)
    adapt(adapted, LoopConfig(recompute=True), blocks=adapted)
    assert adapted.state_dict().keys() == plain.state_dict().keys()
    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    for model in (plain, adapted):
        model(x).square().sum().backward()
    for ours, theirs in zip(adapted.parameters(), plain.parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad)


def test_inner_activations_are_not_kept() -> None:
    def kept(recompute: bool) -> int:
        sizes: list[int] = []
        model = nn.Sequential(network(), nn.Linear(3, 1))
        adapt(model, LoopConfig(recompute=recompute), blocks=[model[0]])
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
            model(torch.randn(1000, 5))
        return sum(sizes)

    assert kept(True) < kept(False) / 2
