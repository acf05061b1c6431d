"""Bits per token: M2T's groups, Roberts' order, and the sum against numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gridcode.errors import GridcodeError
from gridcode.prior.bits import group_sizes, measure_bits, uncovering_order
from gridcode.prior.config import MaskGITConfig, TokenSpace
from gridcode.prior.maskgit import MaskGIT
from gridcode.store.reader import TokenTable

GRID, K = (3, 4), 11


@pytest.fixture
def prior() -> MaskGIT:
    torch.manual_seed(0)
    space = TokenSpace(K, GRID, classes=("a", "b"), tokenizer="", data={})
    return MaskGIT(MaskGITConfig(width=16, depth=2, heads=2, mlp=32, dropout=0.3), space).eval()


def table(rows: int = 5) -> TokenTable:
    tokens = torch.randint(0, K, (rows, 12), generator=torch.Generator().manual_seed(1))
    return TokenTable(tokens, torch.tensor([0, 1, -1, 0, 1])[:rows], ())


def test_groups_of_256_are_m2ts() -> None:
    assert group_sizes(256) == (1, 4, 7, 11, 14, 19, 22, 27, 31, 35, 40, 45)


@given(length=st.integers(1, 500), steps=st.integers(1, 40), alpha=st.floats(0.1, 5))
def test_groups_add_up_and_none_is_empty(length: int, steps: int, alpha: float) -> None:
    sizes = group_sizes(length, steps=steps, alpha=alpha)
    assert sum(sizes) == length
    assert min(sizes) >= 1
    assert len(sizes) == min(steps, length)


@pytest.mark.parametrize("grid", [(16, 16), (7, 7), (1, 1), (2, 9), (4, 3, 2)])
def test_the_order_visits_everything_once_by_roberts_sequence(grid: tuple[int, ...]) -> None:
    order = uncovering_order(grid)
    assert sorted(order.tolist()) == list(range(math.prod(grid)))
    h, w, q = (*grid, 1)[:3]
    g = np.max(np.real(np.roots([1, 0, -1, -1])))
    visited: list[int] = []
    for n in range(20_000):
        x, y = (0.5 + n / g) % 1, (0.5 + n / g**2) % 1
        place = int(y * h) * w + int(x * w)
        if place not in visited:
            visited.append(place)
    assert order.tolist() == [place * q + i for place in visited for i in range(q)]


def test_the_order_of_three_axes_follows_roberts_sequence_of_three() -> None:
    grid = (5, 4, 4)
    g = np.max(np.real(np.roots([1, 0, 0, -1, -1])))
    visited: list[int] = []
    for n in range(20_000):
        place = [int((0.5 + n / g**power) % 1 * side) for power, side in zip((3, 2, 1), grid, strict=True)]
        flat = int(np.ravel_multi_index(place, grid))
        if flat not in visited:
            visited.append(flat)
    assert uncovering_order(grid, axes=3).tolist() == visited


def test_early_groups_lie_far_apart() -> None:
    first = uncovering_order((16, 16))[:16]
    places = torch.stack([first // 16, first % 16], 1).float()
    apart = torch.cdist(places, places) + 99 * torch.eye(16)
    assert apart.min() >= 2


def test_bits_are_numpys(prior: MaskGIT) -> None:
    rows, sizes = table(), group_sizes(12)
    groups = np.split(uncovering_order(GRID).numpy(), np.cumsum(sizes)[:-1])
    by_step = np.zeros(len(sizes))
    for tokens, label in zip(rows.tokens, rows.labels, strict=True):
        known = torch.full((1, 12), prior.mask)
        for step, group in enumerate(groups):
            everywhere = torch.ones(1, 12, dtype=torch.bool)
            answer = prior.conditional(label[None])(known, everywhere, 0.0)
            logits = answer.logits.detach().double().numpy()  # type: ignore[attr-defined]
            log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
            by_step[step] -= log_p[group, tokens[group].numpy()].sum() / math.log(2) / len(rows.tokens)
            known[0, group] = tokens[group]
    found = measure_bits(prior, rows, batch_size=2)
    # bf16 where the hardware has it
    assert found.per_token == pytest.approx(by_step.sum() / 12, rel=5e-3)
    np.testing.assert_allclose(found.by_step, by_step / np.array(sizes), rtol=3e-2)
    assert found.groups == sizes
    assert found.examples == 5


def test_an_untrained_uniform_prior_costs_log2_k(prior: MaskGIT) -> None:
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.zero_()
    assert measure_bits(prior, table()).per_token == pytest.approx(math.log2(K), rel=1e-5)


def test_nothing_to_measure_is_refused(prior: MaskGIT) -> None:
    with pytest.raises(GridcodeError, match="no examples"):
        measure_bits(prior, TokenTable(torch.zeros(0, 12, dtype=torch.int64), torch.zeros(0), ()))
    with pytest.raises(GridcodeError, match="above 0"):
        group_sizes(0)
