"""Randomness is a function of names and numbers, not of what was drawn before."""

from __future__ import annotations

import itertools

import torch

from gridcode.training.seeding import derive_seed, generator, seed_step


def test_seeds_are_unrelated_and_fit_pytorch() -> None:
    parts = list(itertools.product(range(4), ("step", "masks"), range(50)))
    seeds = {derive_seed(*part) for part in parts}
    assert len(seeds) == len(parts)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed(1, 23) != derive_seed(12, 3)
    assert derive_seed("1") != derive_seed(1)


def test_seeds_stay_what_they_are() -> None:
    # A change here would change every run that is resumed across versions.
    assert derive_seed(0, "weights") == 5087778715007104936


def test_a_step_has_its_noise_whatever_came_before() -> None:
    seed_step(3, 1234)
    expected = torch.randn(5)
    torch.manual_seed(99)
    torch.randn(17)
    seed_step(3, 1234)
    assert torch.equal(torch.randn(5), expected)
    for other in ((3, 1235, 0), (4, 1234, 0), (3, 1234, 1)):
        seed_step(other[0], other[1], rank=other[2])
        assert not torch.equal(torch.randn(5), expected)


def test_a_generator_leaves_the_global_one_alone() -> None:
    before = torch.get_rng_state()
    first = torch.rand(3, generator=generator(0, "masks", 1))
    assert torch.equal(first, torch.rand(3, generator=generator(0, "masks", 1)))
    assert torch.equal(torch.get_rng_state(), before)
