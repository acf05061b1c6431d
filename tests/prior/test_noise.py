"""Noise is a function of its key: SplitMix64's numbers, evenly spread, and an image's whatever is drawn beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gridcode.prior.ar import Autoregressive
from gridcode.prior.config import AutoregressiveConfig, Head, MaskGITConfig, TokenSpace
from gridcode.prior.distribution import CategoricalTokens
from gridcode.prior.maskgit import MaskGIT
from gridcode.prior.noise import Noise
from gridcode.prior.samplers.config import SamplerConfig, SamplerName
from gridcode.prior.samplers.fill import fill_masked

K, MASK, GRID = 7, 9, (4, 3)


def splitmix(state: int) -> int:
    """One output of SplitMix64, as its authors write it."""
    z = (state + 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


@given(key=st.integers(-(2**63), 2**63 - 1), number=st.integers(0, 100))
def test_it_is_splitmix64(key: int, number: int) -> None:
    expected = splitmix((key + 0x9E3779B97F4A7C15 * number) % 2**64)
    noise = Noise(torch.tensor([key]))
    assert int(noise.fold(number).keys) % 2**64 == expected
    assert int(noise.spread(number + 1).keys[0, number]) % 2**64 == expected
    uniform = noise.fold(number).uniform()
    assert uniform.item() == ((expected >> 41) % 2**23 + 0.5) / 2**23
    assert 0 < uniform.item() < 1
    exact = noise.fold(number).uniform(torch.float64)
    assert exact.item() == ((expected >> 12) + 0.5) / 2**52
    assert abs(exact.item() - uniform.item()) < 2**-23


def test_numbers_are_spread_evenly_over_images_steps_and_places() -> None:
    noise = Noise.of_examples(3, torch.arange(64))
    cube = torch.stack([noise.fold(step).spread(64).uniform() for step in range(16)]).double()
    assert len(cube.unique()) > 0.99 * cube.numel()
    for axis in range(3):
        means = cube.mean([other for other in range(3) if other != axis])
        assert (means - 0.5).abs().max() < 5 * (1 / 12 / (cube.numel() / cube.shape[axis])) ** 0.5
    counts = torch.histc(cube.float(), 64, 0, 1)
    expected = cube.numel() / 64
    assert ((counts - expected) ** 2 / expected).sum() < 63 + 5 * 126**0.5
    flat = cube.flatten()
    assert abs(float(torch.corrcoef(torch.stack([flat[:-1], flat[1:]]))[0, 1])) < 5 / len(flat) ** 0.5


def test_gumbel_noise_is_gumbels_and_integers_are_in_range() -> None:
    noise = Noise.of_examples(0, torch.arange(100_000))
    drawn = noise.gumbel().double()
    assert drawn.isfinite().all()
    assert drawn.mean().item() == pytest.approx(0.5772, abs=0.02)
    assert drawn.var().item() == pytest.approx(np.pi**2 / 6, rel=0.03)
    counts = noise.integers(5).bincount()
    assert ((counts - 20_000).abs() < 5 * (20_000 * 0.8) ** 0.5).all()


@dataclass(frozen=True)
class PerRow:
    """A prior whose logits depend on a row's tokens and the place alone, bit for bit."""

    seed: int

    def __call__(self, tokens: Tensor, positions: Tensor, guidance: float) -> CategoricalTokens:
        place = torch.arange(tokens.shape[1]).expand_as(tokens)
        key = ((tokens + 1).sum(1, keepdim=True) * 31 + place * 7 + self.seed)[positions]
        return CategoricalTokens(((key[:, None] * (torch.arange(K) + 3)) % 11).float() / 4)


@pytest.mark.parametrize("name", get_args(SamplerName))
@pytest.mark.parametrize("config", [SamplerConfig(steps=5), SamplerConfig(steps=4, top_k=3, top_p=0.9, remask=0.5)])
def test_an_image_is_the_same_alone_and_among_others(name: SamplerName, config: SamplerConfig) -> None:
    config = replace(config, sampler=name)

    def fill(numbers: list[int]) -> Tensor:
        start = torch.full((len(numbers), 12), MASK)
        noise = Noise.of_examples(5, torch.tensor(numbers))
        return fill_masked(PerRow(2), start, mask=MASK, grid=GRID, config=config, noise=noise)

    together = fill([0, 1, 2, 3])
    for number in range(4):
        assert torch.equal(fill([number])[0], together[number])
    assert torch.equal(fill([3, 1]), together[[3, 1]])
    assert len(set(map(tuple, together.tolist()))) == 4, "images differ"


@pytest.mark.parametrize("head", get_args(Head))
@pytest.mark.parametrize("kind", ["ar", "maskgit"])
def test_an_image_of_a_real_prior_is_the_same_alone_and_among_others(kind: str, head: Head) -> None:
    """Logits far apart, so that the rounding of products of other shapes decides nothing."""
    torch.manual_seed(0)
    space = TokenSpace(40, GRID, ("a", "b"), "", {}, (8, 5))
    prior: Autoregressive | MaskGIT
    if kind == "ar":
        prior = Autoregressive(AutoregressiveConfig(width=16, depth=1, heads=2, mlp=32, head=head), space)
    else:
        prior = MaskGIT(MaskGITConfig(width=16, depth=1, heads=2, mlp=32, head=head), space)
    prior.eval()
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.5)

    def fill(numbers: list[int]) -> Tensor:
        start, labels = torch.full((len(numbers), 12), prior.mask), torch.tensor([n % 2 for n in numbers])
        noise = Noise.of_examples(5, torch.tensor(numbers))
        return prior.fill(start, labels, config=SamplerConfig(steps=3), guidance=0.3, noise=noise)

    together = fill([0, 1, 2, 3])
    assert torch.equal(torch.cat([fill([0, 1]), fill([2]), fill([3])]), together)
    assert len(set(map(tuple, together.tolist()))) == 4
