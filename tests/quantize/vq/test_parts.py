"""The parts of VQ alone, each against a plain numpy form: search in blocks, entropy in blocks, splitting."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gridcode.quantize.vq.distance import exact_match, nearest
from gridcode.quantize.vq.entropy import PART_BYTES, entropy_loss
from gridcode.quantize.vq.revival import PERTURBATION, carry_out, plan_splits

Floats = NDArray[np.float64]


def whole_numbers(*shape: int, seed: int) -> torch.Tensor:
    """Small whole numbers: their products and sums are exact in float32, and ties are many."""
    return torch.randint(-3, 4, shape, generator=torch.Generator().manual_seed(seed)).float()


@settings(max_examples=100, deadline=None)
@given(
    rows=st.integers(0, 40),
    size=st.integers(1, 30),
    channels=st.integers(1, 4),
    limit=st.integers(0, 4000),
    seed=st.integers(0, 2**31),
)
def test_blocks_of_any_size_find_the_lowest_of_the_nearest(
    rows: int, size: int, channels: int, limit: int, seed: int
) -> None:
    z, book = whole_numbers(rows, channels, seed=seed), whole_numbers(size, channels, seed=seed + 1)
    distances = ((z.double().numpy()[:, None] - book.double().numpy()[None]) ** 2).sum(-1)
    assert nearest(z, book, limit=limit).tolist() == distances.argmin(1).tolist()
    assert exact_match(z, book, limit=limit).tolist() == distances.argmin(1).tolist()


def test_codewords_that_the_product_cannot_tell_apart_are_told_apart() -> None:
    book = 1000 + torch.arange(50)[:, None] * torch.tensor([6.2e-5, -6.2e-5])
    assert len(book.unique(dim=0)) == 50
    for limit in (1, 400, 2**26):
        assert exact_match(book, book, limit=limit).tolist() == list(range(50))


def entropy(z: Floats, book: Floats, temperature: float) -> float:
    logits = -((z[:, None] - book[None]) ** 2).sum(-1) / temperature
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    mean = p.mean(0)
    return float(-(p * np.log(np.maximum(p, 1e-300))).sum(1).mean() + (mean * np.log(mean + 1e-5)).sum())


@pytest.mark.parametrize("limit", [1, 700, 2**26])
def test_entropy_in_blocks_is_numpys_and_has_its_gradient(limit: int) -> None:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(23, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    book = torch.randn(9, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    loss = entropy_loss(z, book, temperature=0.5, limit=limit)
    assert float(loss.detach()) == pytest.approx(entropy(z.detach().numpy(), book.detach().numpy(), 0.5), rel=1e-12)
    assert torch.autograd.gradcheck(lambda z, e: entropy_loss(z, e, temperature=0.5, limit=limit), (z, book))


@pytest.mark.parametrize("part", [1, 200])
def test_entropy_in_parts_of_blocks_is_the_same(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(23, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    book = torch.randn(9, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    loss = entropy_loss(z, book, temperature=0.5)
    expected = torch.autograd.grad(loss, (z, book))
    monkeypatch.setitem(PART_BYTES, "cpu", part)  # rows of 72 bytes
    parted = entropy_loss(z, book, temperature=0.5)
    torch.testing.assert_close(parted, loss)
    for ours, reference in zip(torch.autograd.grad(parted, (z, book)), expected, strict=True):
        torch.testing.assert_close(ours, reference)


def test_entropy_is_as_exact_under_autocast() -> None:
    generator = torch.Generator().manual_seed(0)
    z, book = (torch.randn(n, 3, generator=generator, requires_grad=True) for n in (23, 9))
    loss = entropy_loss(z, book, temperature=0.5)
    expected = torch.autograd.grad(loss, (z, book))
    with torch.autocast("cpu", torch.bfloat16):
        again = entropy_loss(z, book, temperature=0.5)
        found = torch.autograd.grad(again, (z, book))
    assert torch.equal(again, loss)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def split_in_a_loop(counts: Floats, sums: Floats, u: Floats, threshold: float) -> tuple[Floats, Floats]:
    """UViM's loop: the least used entry takes half of the most used one, one split at a time."""
    counts, sums = counts.copy(), sums.copy()
    split = 0
    while counts.min() < threshold and counts.max() >= 2 * threshold:
        most, least = counts.argmax(), counts.argmin()
        sums[least], sums[most] = sums[most] / 2 * u[split], sums[most] / 2
        counts[least] = counts[most] = counts[most] / 2
        split += 1
    return counts, sums


@settings(max_examples=100, deadline=None)
@given(counts=st.lists(st.floats(0, 50), min_size=1, max_size=25, unique=True), seed=st.integers(0, 2**31))
def test_splitting_in_rounds_is_the_loop(counts: list[float], seed: int) -> None:
    first = torch.tensor(counts, dtype=torch.float64)
    sums = torch.randn(len(counts), 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    plan = plan_splits(first.tolist(), 0.1)
    u = torch.rand(len(plan), 3, generator=torch.Generator().manual_seed(seed)).double().numpy()
    u = 1 + PERTURBATION * (2 * u - 1)
    expected_counts, expected_sums = split_in_a_loop(first.numpy(), sums.numpy(), u, 0.1)
    total = float(first[[k for k in range(len(counts)) if k not in {least for _, least in plan}]].sum())
    changed = carry_out(plan, first, sums, torch.Generator().manual_seed(seed))
    np.testing.assert_allclose(first.numpy(), expected_counts, rtol=1e-12)
    np.testing.assert_allclose(sums.numpy(), expected_sums, rtol=1e-6, atol=1e-9)
    assert changed.tolist() == sorted({entry for pair in plan for entry in pair})
    assert float(first.sum()) == pytest.approx(total, rel=1e-12, abs=1e-12)
