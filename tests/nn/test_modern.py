"""The modern block: rotary positions are relative, attention is its formula, a cache changes nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from gridcode.nn import attention
from gridcode.nn.attention import BASE, KeyValues, attend, attend_plainly, grid_turns, turn
from gridcode.nn.modern import ModernBlock, RotaryAttention, SwiGLU, swiglu_width
from gridcode.nn.transformer import PostNormBlock, TanhGELU

GRID, E, HEADS = (3, 4), 8, 2
D = E * HEADS


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def shaken(module: nn.Module) -> nn.Module:
    """Gains and norms that are not 1, so that a forgotten one shows."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return module


def test_every_pair_of_features_turns_by_its_row_or_column() -> None:
    x = random(13, E).double()
    turned = turn(x, grid_turns(GRID, E).double()).numpy()
    for n in range(13):
        row, column = (0, 0) if n == 0 else ((n - 1) // 4 + 1, (n - 1) % 4 + 1)
        angles = [place * BASE ** (-4 * j / E) for place in (row, column) for j in range(E // 4)]
        for j, angle in enumerate(angles):
            pair = x[n, [j, j + E // 2]].numpy()
            matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            np.testing.assert_allclose(turned[n, [j, j + E // 2]], matrix @ pair, atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(
    first=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    second=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    shift=st.tuples(st.integers(0, 4), st.integers(0, 4)),
)
def test_a_product_depends_on_the_distance_alone(
    first: tuple[int, int], second: tuple[int, int], shift: tuple[int, int]
) -> None:
    turns = grid_turns((10, 10), E)[:, 1:].double()

    def at(x: Tensor, place: tuple[int, int]) -> Tensor:
        n = place[0] * 10 + place[1]
        return turn(x, turns[:, n : n + 1])

    q, k = random(1, E).double(), random(1, E, seed=1).double()
    moved = [(place[0] + shift[0], place[1] + shift[1]) for place in (first, second)]
    near = (at(q, first) * at(k, second)).sum()
    far = (at(q, moved[0]) * at(k, moved[1])).sum()
    torch.testing.assert_close(near, far, rtol=0, atol=1e-5)


def test_the_tokens_of_a_place_turn_alike_and_the_class_does_not() -> None:
    turns = grid_turns((2, 2, 3), E)
    assert torch.equal(turns[0, 0], torch.ones(E // 2))
    assert not turns[1, 0].any()
    assert torch.equal(turns[:, 1:], grid_turns((2, 2), E)[:, 1:].repeat_interleave(3, 1))


def test_a_grid_of_three_axes_turns_a_third_of_the_pairs_by_each() -> None:
    turns = grid_turns((3, 2, 4), E, axes=3)[:, 1:].reshape(2, 3, 2, 4, E // 2)
    share = E // 2 // 3
    first, second, third = turns.split([E // 2 - 2 * share, share, share], -1)
    assert torch.equal(first, first[:, :, :1, :1].expand_as(first))
    assert torch.equal(second, second[:, :1, :, :1].expand_as(second))
    assert torch.equal(third, third[:, :1, :1].expand_as(third))
    assert torch.equal(torch.acos(turns[0, 0, 0, 0]).round(decimals=4)[[0, -share]], torch.ones(2))
    assert torch.equal(grid_turns((8,), E), grid_turns((8, 1), E))
    rows = grid_turns((2, 4), E, base=100.0)
    assert torch.equal(grid_turns((2, 4, 3), E, axes=2)[:, 1::3], rows[:, 1:])


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_the_formula(causal: bool) -> None:
    block = shaken(RotaryAttention(D, HEADS, dropout=0.0, causal=causal))
    x, turns = random(2, 13, D), grid_turns(GRID, E)
    q, k, v = block.qkv(x).chunk(3, -1)
    heads = []
    for head in range(HEADS):
        part = slice(E * head, E * head + E)
        normed = [
            one[..., part] / (one[..., part].square().mean(-1, keepdim=True) + 1e-6).sqrt() * gain
            for one, gain in ((q, block.q_gain), (k, block.k_gain))
        ]
        a, b = (turn(one, turns) for one in normed)
        scores = a @ b.transpose(1, 2) / E**0.5
        if causal:
            scores = scores + torch.full((13, 13), -torch.inf).triu(1)
        heads.append(scores.softmax(-1) @ v[..., part])
    torch.testing.assert_close(block(x, turns), block.out(torch.cat(heads, -1)))


def test_a_block_normalises_before_each_branch() -> None:
    block = shaken(ModernBlock(D, HEADS, mlp=24, dropout=0.0, causal=False))
    x, turns = random(2, 13, D), grid_turns(GRID, E)

    def norm(y: Tensor, gain: Tensor) -> Tensor:
        return y / (y.square().mean(-1, keepdim=True) + 1e-6).sqrt() * gain

    middle = x + block.attention(norm(x, block.norm1.weight), turns)
    gate, value = block.mlp.gate_and_value(norm(middle, block.norm2.weight)).chunk(2, -1)
    torch.testing.assert_close(block(x, turns), middle + block.mlp.out(gate * gate.sigmoid() * value))


@given(mlp=st.integers(96, 10_000))
def test_a_swiglu_has_as_many_weights_as_the_mlp(mlp: int) -> None:
    hidden = swiglu_width(mlp)
    assert hidden % 8 == 0
    assert abs(3 * hidden - 2 * mlp) <= 12
    assert sum(p.numel() for p in SwiGLU(4, hidden).parameters()) == 3 * 4 * hidden


def test_a_causal_block_sees_nothing_that_comes_later() -> None:
    block = shaken(ModernBlock(D, HEADS, mlp=24, dropout=0.0, causal=True))
    x = random(1, 13, D).requires_grad_()
    out = block(x, grid_turns(GRID, E))
    for n in range(13):
        (gradient,) = torch.autograd.grad(out[0, n].square().sum(), x, retain_graph=True)
        reached = gradient[0].abs().sum(-1) > 0
        assert reached.tolist() == [m <= n for m in range(13)]


@pytest.mark.parametrize("parts", [[1] * 13, [5, 1, 1, 6], [13], [12, 1]])
def test_a_cache_changes_nothing(parts: list[int]) -> None:
    block = shaken(ModernBlock(D, HEADS, mlp=24, dropout=0.0, causal=True))
    x, turns, cache = random(3, 13, D), grid_turns(GRID, E), KeyValues(13)
    found, done = [], 0
    for count in parts:
        here = slice(done, done + count)
        found.append(block(x[:, here], turns[:, here], None, cache))
        done += count
    assert len(cache) == 13
    torch.testing.assert_close(torch.cat(found, 1), block(x, turns))


def test_a_long_cache_looks_at_whole_strides_only_and_still_changes_nothing() -> None:
    attention_ = shaken(RotaryAttention(D, HEADS, dropout=0.0, causal=True))
    x, turns, cache = random(1, 145, D), grid_turns((12, 12), E), KeyValues(145)
    found = torch.cat([attention_(x[:, n : n + 1], turns[:, n : n + 1], None, cache) for n in range(145)], 1)
    torch.testing.assert_close(found, attention_(x, turns), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("style", ["maskgit", "modern"])
def test_asked_places_are_answered_as_if_all_were(style: str) -> None:
    block: Callable[..., Tensor]
    if style == "maskgit":
        block = shaken(PostNormBlock(D, HEADS, mlp=24, dropout=0.0))
        places: tuple[Tensor, ...] = ()
    else:
        block = shaken(ModernBlock(D, HEADS, mlp=24, dropout=0.0, causal=False))
        places = (grid_turns(GRID, E),)
    x, asked = random(2, 13, D).requires_grad_(), torch.tensor([0, 5, 12, 13, 25])
    everything = block(x, *places).flatten(0, 1)[asked]
    some = block(x, *places, asked)
    torch.testing.assert_close(some, everything)
    (gradient,) = torch.autograd.grad(some.square().sum(), x)
    (expected,) = torch.autograd.grad(everything.square().sum(), x)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("limit", [0, 512])
def test_both_kernels_of_attention_agree(causal: bool, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "PLAIN_UP_TO", limit)
    q, k, v = (random(2, 3, 7, 8, seed=seed) for seed in range(3))
    seen = torch.ones(7, 7, dtype=torch.bool).tril() if causal else None
    torch.testing.assert_close(attend(q, k, v, causal=causal), attend_plainly(q, k, v, seen=seen))
    torch.testing.assert_close(
        attend(q, k, v, causal=causal), F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    )


def test_gelu_without_gradients_is_gelu_with_them() -> None:
    gelu, x = TanhGELU(), random(700, 200) * 3
    expected = gelu(x)
    torch.testing.assert_close(expected, F.gelu(x, approximate="tanh"))
    with torch.no_grad():
        torch.testing.assert_close(gelu(x), expected)
        torch.testing.assert_close(gelu(x.T), expected.T)
        low = x.bfloat16()
        assert gelu(low).dtype == torch.bfloat16
        torch.testing.assert_close(gelu(low).float(), F.gelu(low.float(), approximate="tanh"), rtol=1e-2, atol=1e-2)
