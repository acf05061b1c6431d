"""Quantizer dropout: whole samples pass unrounded, in training only, by a choice that a seed repeats."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from gridcode.errors import GridcodeError
from gridcode.quantize.base import Quantizer
from gridcode.quantize.binary.bsq import BSQ
from gridcode.quantize.binary.lfq import LFQ
from gridcode.quantize.fsq.grouped import GroupedFSQ
from gridcode.quantize.fsq.quantizer import FSQ
from gridcode.quantize.fsq.residual import ResidualFSQ
from gridcode.quantize.partial import quantize_with_dropout

KINDS: dict[str, Callable[[int], Quantizer]] = {
    "fsq": lambda dim: FSQ([5, 4], channel_dim=dim),
    "residual": lambda dim: ResidualFSQ([5, 4], channel_dim=dim),
    "grouped": lambda dim: GroupedFSQ([5], groups=2, channel_dim=dim),
    "lfq": lambda dim: LFQ(2, channel_dim=dim),
    "bsq": lambda dim: BSQ(2, channel_dim=dim),
}
EVERY = pytest.mark.parametrize("kind", KINDS)


def latents(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@EVERY
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_whole_samples_pass_wherever_the_channels_are(kind: str, dim: int) -> None:
    quantizer = KINDS[kind](dim).train()
    z = latents(80, 6, 2).movedim(-1, dim)
    out = quantize_with_dropout(quantizer, z, 0.4, generator=seeded(1))
    plain, relaxed = quantizer(z), quantizer.relax(z)
    rows = 1 if dim == 0 else 0  # samples lie along the first dimension that does not hold the channels
    both = zip(out.codes.unbind(rows), plain.codes.unbind(rows), relaxed.unbind(rows), strict=True)
    passed = [(torch.equal(code, soft), torch.equal(code, hard)) for code, hard, soft in both]
    assert all(soft != hard for soft, hard in passed)
    assert 0.25 < sum(soft for soft, _ in passed) / 80 < 0.55
    assert torch.equal(out.indices, plain.indices)
    assert torch.equal(out.loss, plain.loss)


@EVERY
def test_gradient_flows_as_the_codes_do(kind: str) -> None:
    quantizer = KINDS[kind](-1).train()
    z, upstream = latents(40, 3, 2).requires_grad_(), latents(40, 3, 2).flip(0)
    grads = []
    for run in (
        lambda: quantize_with_dropout(quantizer, z, 0.5, generator=seeded(2)).codes,
        lambda: quantizer(z).codes,
        lambda: quantizer.relax(z),
    ):
        codes = run()
        (grad,) = torch.autograd.grad(codes, z, upstream)
        grads.append((codes.detach(), grad))
    (codes, mixed), (_, hard), (soft_codes, soft) = grads
    passed = (codes == soft_codes).flatten(1).all(1)[:, None, None]
    torch.testing.assert_close(mixed, torch.where(passed, soft, hard), rtol=0, atol=0)


@EVERY
def test_evaluation_and_rate_zero_are_plain_calls(kind: str) -> None:
    quantizer, z = KINDS[kind](-1), latents(9, 2)
    state = torch.get_rng_state()
    for mode, rate in ((False, 1.0), (True, 0.0), (True, 0)):
        out = quantize_with_dropout(quantizer.train(mode), z, rate)
        assert torch.equal(out.codes, quantizer(z).codes)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_same_seed_passes_the_same_samples() -> None:
    quantizer, z = FSQ([8, 5]).train(), latents(50, 2)
    runs = [quantize_with_dropout(quantizer, z, 0.5, generator=seeded(seed)).codes for seed in (3, 3, 4)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


@pytest.mark.parametrize("shape", [(2,), (0, 2), (3, 0, 2)])
def test_single_vectors_and_empty_batches(shape: tuple[int, ...]) -> None:
    out = quantize_with_dropout(FSQ([8, 5]).train(), latents(*shape), 0.5)
    assert out.codes.shape == shape


def test_sixteen_bits_stay_so() -> None:
    z = latents(9, 2).to(torch.bfloat16)
    assert quantize_with_dropout(BSQ(2).train(), z, 0.5).codes.dtype == torch.bfloat16


@pytest.mark.parametrize("rate", [-0.1, 1.1, math.nan, math.inf])
def test_rates_that_are_no_probability_are_refused(rate: float) -> None:
    with pytest.raises(GridcodeError, match=r"the rate is .*; give a probability in \[0, 1\]"):
        quantize_with_dropout(FSQ([8, 5]).eval(), latents(3, 2), rate)


def test_whole_graph() -> None:
    quantizer, z = FSQ([8, 5]).train(), latents(50, 2)
    compiled = torch.compile(lambda z: quantize_with_dropout(quantizer, z, 0.5), fullgraph=True, backend="aot_eager")
    codes, plain, relaxed = compiled(z).codes, quantizer(z).codes, quantizer.relax(z)
    passed = (codes == relaxed).all(1)
    assert 5 < int(passed.sum()) < 45
    assert torch.equal(codes[~passed], plain[~passed])
