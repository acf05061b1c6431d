"""Every sampler: known tokens stay, counts are the schedule's, and each hides what it says it hides."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.prior.distribution import CategoricalTokens
from gridcode.prior.noise import Noise
from gridcode.prior.samplers.config import SamplerConfig, SamplerName
from gridcode.prior.samplers.fill import fill_masked, make_sampler
from gridcode.prior.samplers.halton import halton_rank
from gridcode.prior.samplers.loop import Draw, lowest

K, MASK, GRID = 7, 9, (4, 3)
NAMES: tuple[SamplerName, ...] = get_args(SamplerName)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int = 1, seed: int = 0) -> Noise:
    return Noise.of_examples(seed, torch.arange(count))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(
    masked=st.lists(st.booleans(), min_size=12, max_size=12),
    steps=st.integers(1, 15),
    remask=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_known_tokens_stay_and_counts_are_the_schedules(
    name: SamplerName, masked: list[bool], steps: int, remask: float, seed: int
) -> None:
    known = torch.randint(0, K, (3, 12), generator=generator(seed))
    hidden = torch.stack([torch.tensor(masked), torch.tensor(masked).flip(0), torch.zeros(12, dtype=torch.bool)])

    def fill(sampler: SamplerName) -> tuple[Tensor, list[int]]:
        seen: list[int] = []

        def model(tokens: Tensor, positions: Tensor, guidance: float) -> CategoricalTokens:
            assert torch.equal(tokens[~hidden], known[~hidden])
            assert torch.equal(positions, tokens == MASK)
            seen.append(int(positions.sum()))
            return CategoricalTokens(torch.randn(int(positions.sum()), K, generator=generator(len(seen))))

        config = SamplerConfig(sampler=sampler, steps=steps, remask=remask)
        start = known.masked_fill(hidden, MASK)
        tokens = fill_masked(model, start, mask=MASK, grid=GRID, config=config, noise=pictures(3, seed))
        return tokens, seen

    filled, counts = fill(name)
    assert torch.equal(filled[~hidden], known[~hidden])
    assert ((filled >= 0) & (filled < K)).all()
    assert torch.equal(filled, fill(name)[0])
    assert counts == fill("confidence")[1]


def places(name: SamplerName, *, steps: int = 6, remask: float = 0.0) -> list[set[int]]:
    """What is known before each step, of one grid that begins empty."""
    states: list[set[int]] = []

    def model(tokens: Tensor, positions: Tensor, guidance: float) -> CategoricalTokens:
        states.append(set((tokens[0] != MASK).nonzero().flatten().tolist()))
        return CategoricalTokens(torch.zeros(int(positions.sum()), K))

    config = SamplerConfig(sampler=name, steps=steps, remask=remask)
    start = torch.full((1, 64), MASK)
    fill_masked(model, start, mask=MASK, grid=(8, 8), config=config, noise=pictures(1, 3))
    return states


def test_halton_follows_its_sequence_from_a_random_place() -> None:
    order = halton_rank((8, 8)).argsort().tolist()
    states = places("halton")
    for before, after in pairwise(states):
        assert before < after
    first = [place for place in order + order if place in states[1]]
    start = next(i for i in range(64) if set((order + order)[i : i + len(states[1])]) == states[1])
    assert first
    for state in states[1:]:
        assert set((order + order)[start : start + len(state)]) == state


@pytest.mark.parametrize("grid", [(8, 8), (3, 7), (1, 5), (4, 2, 3)])
def test_the_halton_order_is_that_of_its_formula(grid: tuple[int, ...]) -> None:
    def phi(n: int, base: int) -> float:
        digits = np.base_repr(n, base)[::-1]
        return sum(int(digit) * base ** -(i + 1) for i, digit in enumerate(digits))

    h, w, q = (*grid, 1)[:3]
    visited = []
    for n in range(1, 3000):
        place = (int(h * phi(n, 2)), int(w * phi(n, 3)))
        if place not in visited:
            visited.append(place)
    rank = halton_rank(grid).reshape(h, w, q)
    for number, (y, x) in enumerate(visited):
        assert rank[y, x].tolist() == list(range(number * q, (number + 1) * q))


def test_the_halton_order_of_three_axes_spreads_over_each() -> None:
    grid = (5, 4, 4)
    order = halton_rank(grid, 3).argsort()
    assert sorted(order.tolist()) == list(range(80))
    t, h, w = np.unravel_index(order[:10].numpy(), grid)
    assert {len(set(side.tolist())) for side in (t, h, w)} == {5, 4}


def test_random_differs_by_seed_and_never_hides_again() -> None:
    states = places("random")
    assert all(before < after for before, after in pairwise(states))


def test_remasking_takes_its_share_of_settled_tokens_back() -> None:
    states = places("remask", remask=0.25)
    lost = [len(before - after) for before, after in pairwise(states)]
    settled = [len(before) for before in states[:-1]]
    left = [64 - len(after) for after in states[1:]]
    assert lost == [min(int(0.25 * count), rest) for count, rest in zip(settled, left, strict=True)]
    assert sum(lost) > 0
    assert places("remask", remask=0.0)[1:] != []


def test_a_later_start_settles_more_at_once() -> None:
    asked: list[int] = []

    def model(tokens: Tensor, positions: Tensor, guidance: float) -> CategoricalTokens:
        asked.append(int(positions.sum()))
        return CategoricalTokens(torch.zeros(int(positions.sum()), K))

    sampler = make_sampler(SamplerConfig(steps=12), grid=(16, 16))
    sampler.fill(model, torch.full((1, 256), MASK), mask=MASK, guidance=0.0, noise=pictures(), start=2)
    assert len(asked) == 10
    assert asked[1] == int(256 * np.cos(np.pi / 2 * 3 / 12))


def test_temperature_and_guidance_move_as_their_formulas_say() -> None:
    config = SamplerConfig(steps=5, temperature=0.5, temperature_from=1.5, guidance_from=0.0, curve="cosine", power=2.0)
    x = np.arange(5) / 4
    done = (1 - np.cos(np.pi * x**2)) / 2
    np.testing.assert_allclose([config.temperature_at(t) for t in range(5)], 1.5 - done)
    np.testing.assert_allclose([config.guidance_at(t, 3.0) for t in range(5)], 3 * done, atol=1e-15)
    plain = SamplerConfig()
    assert {plain.temperature_at(t) for t in range(12)} == {1.0}
    assert {plain.guidance_at(t, 0.2) for t in range(12)} == {0.2}
    assert SamplerConfig(steps=1, guidance_from=0.0).guidance_at(0, 2.0) == 2.0


def test_the_model_is_asked_with_the_steps_guidance() -> None:
    seen = []

    def model(tokens: Tensor, positions: Tensor, guidance: float) -> CategoricalTokens:
        seen.append(guidance)
        return CategoricalTokens(torch.zeros(int(positions.sum()), K))

    config = SamplerConfig(steps=3, guidance_from=0.0)
    start = torch.full((1, 12), MASK)
    fill_masked(model, start, mask=MASK, grid=GRID, config=config, noise=pictures(), guidance=2.0)
    assert seen == [0.0, 1.0, 2.0]


def test_lowest_takes_only_what_it_may() -> None:
    scores = torch.tensor([[0.0, 5.0, 1.0], [2.0, 1.0, 0.0]])
    among = torch.tensor([[False, True, True], [True, True, True]])
    taken = lowest(scores, torch.tensor([3, 2]), among=among)
    assert taken.tolist() == [[False, True, True], [False, True, True]]


def test_a_draw_knows_its_step() -> None:
    draw = Draw(0, *(torch.zeros(1, 2, dtype=torch.bool),) * 2, torch.zeros(1), torch.zeros(0), pictures())
    assert not make_sampler(SamplerConfig(sampler="random"), grid=(1, 2)).hide(draw).any()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"remask": 1.5}, r"remask in \[0, 1\], got power=1\.0 and remask=1\.5"),
        ({"power": 0.0}, "power must be > 0"),
        ({"top_k": -1}, r"top_k must be >= 0 and top_p in \(0, 1\], got -1 and 1\.0"),
        ({"top_p": 0.0}, r"got 0 and 0\.0"),
        ({"guidance_from": -1.0}, r"guidance must be >= 0 and finite, got guidance_from=-1\.0"),
        ({"temperature_from": -1.0}, r"temperature_from=-1\.0"),
    ],
)
def test_settings_out_of_range_are_refused(setting: dict[str, float], message: str) -> None:
    with pytest.raises(GridcodeError, match=message):
        SamplerConfig(**setting)  # type: ignore[arg-type]
