"""Digit vocabularies: proper distributions by enumeration, draws that follow them, losses and guidance by numpy."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.prior.config import MaskGITConfig, TokenSpace
from gridcode.prior.maskgit import MaskGIT
from gridcode.prior.noise import Noise
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.prior.vocabulary.base import Vocabulary
from gridcode.prior.vocabulary.chain import ChainVocabulary
from gridcode.prior.vocabulary.embedding import MASK, DigitEmbedding
from gridcode.prior.vocabulary.independent import IndependentVocabulary
from gridcode.prior.vocabulary.joint import JointVocabulary
from gridcode.prior.vocabulary.make import make_vocabulary

LEVELS, WIDTH = (4, 3, 2), 12
K = prod(LEVELS)
KINDS: list[type] = [IndependentVocabulary, ChainVocabulary]


def make(kind: type, *, classes: int = 2) -> Vocabulary:
    """With weights large enough that digits depend on each other."""
    torch.manual_seed(0)
    vocabulary: Vocabulary = kind(LEVELS, classes, width=WIDTH).eval().requires_grad_(False)
    for parameter in vocabulary.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.5)
    return vocabulary


def hidden(rows: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, WIDTH, generator=torch.Generator().manual_seed(seed))


def digits_of(token: int) -> list[int]:
    found = []
    for level in LEVELS:
        found.append(token % level)
        token //= level
    return found


def log_softmax(row: NDArray[np.float64]) -> NDArray[np.float64]:
    return row - np.log(np.exp(row - row.max()).sum()) - row.max()


def conditionals(vocabulary: Vocabulary, h: Tensor, digits: list[int]) -> list[NDArray[np.float64]]:
    """One token's logits, digit by digit, from the formulas of the modules' docstrings."""
    get = {name: value.double().numpy() for name, value in vocabulary.state_dict().items()}
    x, first, found = h.double().numpy(), 0, []
    if isinstance(vocabulary, ChainVocabulary):
        x = get["enter.weight"] @ x + get["enter.bias"]
    for i, level in enumerate(LEVELS):
        rows = slice(first, first + level)
        state = x
        if isinstance(vocabulary, ChainVocabulary):
            state = state + get["places.weight"][i]
            normed = state / np.sqrt((state**2).mean() + 1e-6) * get["mlp.0.weight"]
            inner = get["mlp.1.weight"] @ normed + get["mlp.1.bias"]
            state = state + get["mlp.3.weight"] @ (inner / (1 + np.exp(-inner))) + get["mlp.3.bias"]
            x = x + get["before.weight"][first + digits[i]]
        found.append(get["out.weight"][rows] @ state + get["out.bias"][rows])
        first += level
    return found


@pytest.mark.parametrize("kind", KINDS)
class TestDistribution:
    def test_probabilities_are_the_formulas_and_add_up_to_1(self, kind: type) -> None:
        vocabulary, h = make(kind), hidden(1)
        found = vocabulary.distribution(h.expand(K, -1)).log_prob(torch.arange(K))
        expected = []
        for token in range(K):
            digits = digits_of(token)
            rows = conditionals(vocabulary, h[0], digits)
            expected.append(sum(log_softmax(row)[digit] for row, digit in zip(rows, digits, strict=True)))
        np.testing.assert_allclose(found, expected, atol=1e-4)
        assert found.exp().sum().item() == pytest.approx(1, abs=1e-5)

    @pytest.mark.parametrize("scale", [0.0, 0.3, 2.0])
    def test_guidance_is_the_papers_formula_on_every_conditional(self, kind: type, scale: float) -> None:
        vocabulary, h, h0 = make(kind), hidden(1), hidden(1, seed=1)
        guided = vocabulary.distribution(h.expand(K, -1)).guide(vocabulary.distribution(h0.expand(K, -1)), scale)
        found = guided.log_prob(torch.arange(K))
        expected = []
        for token in range(K):
            digits = digits_of(token)
            pairs = zip(conditionals(vocabulary, h[0], digits), conditionals(vocabulary, h0[0], digits), strict=True)
            rows = [(1 + scale) * with_class - scale * without for with_class, without in pairs]
            expected.append(sum(log_softmax(row)[digit] for row, digit in zip(rows, digits, strict=True)))
        np.testing.assert_allclose(found, expected, atol=1e-4)
        assert found.exp().sum().item() == pytest.approx(1, abs=1e-5)

    @pytest.mark.parametrize("scale", [0.0, 1.5])
    def test_draws_follow_the_probabilities(self, kind: type, scale: float) -> None:
        vocabulary, count = make(kind), 40_000
        answer, other = (vocabulary.distribution(hidden(1, seed=seed).expand(count, -1)) for seed in (0, 1))
        answer = answer.guide(other, scale)
        drawn = answer.sample(temperature=1.0, noise=Noise.of_examples(0, torch.arange(count)))
        expected = answer.log_prob(torch.arange(count) % K)[:K].exp()
        seen = drawn.bincount(minlength=K) / count
        assert ((seen - expected).abs() < 5 * (expected * (1 - expected) / count).sqrt() + 1e-4).all()

    def test_temperature_zero_takes_the_most_probable_digits(self, kind: type) -> None:
        vocabulary, h = make(kind), hidden(20)
        drawn = vocabulary.distribution(h).sample(temperature=0.0, noise=Noise(torch.zeros(20, dtype=torch.int64)))
        for row, token in zip(h, drawn.tolist(), strict=True):
            digits = digits_of(token)
            assert [int(one.argmax()) for one in conditionals(vocabulary, row, digits)] == digits

    def test_cut_conditionals_draw_only_what_is_left(self, kind: type) -> None:
        vocabulary = make(kind)
        answer = vocabulary.distribution(hidden(50))
        draw = Noise.of_examples(0, torch.arange(50))
        best = answer.sample(temperature=0.0, noise=draw)
        assert torch.equal(answer.sample(temperature=9.0, noise=draw, top_k=1), best)
        assert torch.equal(answer.sample(temperature=1.0, noise=draw, top_p=1e-6), best)

    def test_no_tokens_asked_no_tokens_drawn(self, kind: type) -> None:
        drawn = make(kind).distribution(hidden(0)).sample(temperature=1.0, noise=Noise.of_examples(0, torch.arange(0)))
        assert drawn.shape == (0,)
        assert drawn.dtype == torch.int64


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=20)
@given(rows=st.integers(1, 5), padding=st.integers(0, 3), smoothing=st.sampled_from([0.0, 0.1, 0.6]))
def test_the_loss_is_the_sum_of_smoothed_cross_entropies(kind: type, rows: int, padding: int, smoothing: float) -> None:
    vocabulary, h = make(kind), hidden(rows + padding)
    tokens = torch.randint(0, K, (rows,), generator=torch.Generator().manual_seed(rows))
    scores = vocabulary.score(h, tokens, label_smoothing=smoothing)
    expected, right = [], []
    for row, token in zip(h, tokens.tolist(), strict=False):
        digits = digits_of(token)
        logits, total = conditionals(vocabulary, row, digits), 0.0
        for one, digit, level in zip(logits, digits, LEVELS, strict=True):
            share = 1 - (1 - smoothing) ** (1 / 3)
            target = np.full(level, share / level)
            target[digit] += 1 - share
            total -= (target * log_softmax(one)).sum()
        expected.append(total)
        right.append([int(one.argmax()) for one in logits] == digits)
    np.testing.assert_allclose(scores.losses, expected, atol=1e-4)
    assert scores.right.tolist() == right
    if not smoothing:
        torch.testing.assert_close(scores.losses, -vocabulary.distribution(h[:rows]).log_prob(tokens))


def test_a_digit_knows_the_digits_before_it_alone() -> None:
    vocabulary = make(ChainVocabulary)
    assert isinstance(vocabulary, ChainVocabulary)
    vocabulary.before.requires_grad_(True)
    logits = vocabulary.all_logits(vocabulary.enter(hidden(1)), torch.tensor([[3, 1, 0]]))
    for digit, one in enumerate(logits):
        reached = torch.zeros(sum(LEVELS))
        if digit:
            (gradient,) = torch.autograd.grad(one.square().sum(), vocabulary.before.weight, retain_graph=True)
            reached = gradient.abs().sum(1)
        rows = [row for row, given in ((3, 0), (4 + 1, 1), (7 + 0, 2)) if given < digit]
        assert reached.nonzero().flatten().tolist() == rows


def test_steps_of_a_chain_are_its_one_pass() -> None:
    vocabulary = make(ChainVocabulary)
    assert isinstance(vocabulary, ChainVocabulary)
    context, digits = vocabulary.enter(hidden(6)), torch.stack([torch.arange(6) % level for level in LEVELS], 1)
    state = context
    for i, expected in enumerate(vocabulary.all_logits(context, digits)):
        torch.testing.assert_close(vocabulary.logits(state, i), expected)
        state = vocabulary.append(state, i, digits[:, i])


def test_a_tokens_vector_is_the_sum_of_its_digits() -> None:
    embedding = DigitEmbedding(LEVELS, 2, width=5)
    table = embedding.digits.weight
    for token in range(K):
        a, b, c = digits_of(token)
        torch.testing.assert_close(
            embedding.of_tokens(torch.tensor([token]))[0], table[a] + table[4 + b] + table[7 + c]
        )
    assert torch.equal(embedding.of_tokens(torch.tensor([[MASK]]))[0, 0], embedding.others.weight[2])
    assert torch.equal(embedding.of_labels(torch.tensor([1, -1])), embedding.others.weight[1:])


@pytest.mark.parametrize("head", ["independent", "chain"])
@pytest.mark.parametrize("grid", [(2, 3), (2, 2, 2)])
def test_a_book_of_2_to_63_trains_and_samples(head: str, grid: tuple[int, ...]) -> None:
    space = TokenSpace(2**63, grid, ("a", "b"), "", {}, levels=(2,) * 63)
    torch.manual_seed(0)
    prior = MaskGIT(MaskGITConfig(width=16, depth=1, heads=2, mlp=32, head=head, style="modern"), space)  # type: ignore[arg-type]
    assert max(parameter.numel() for parameter in prior.parameters()) < 5000
    tokens = torch.randint(0, 2**63 - 1, (3, space.length), generator=torch.Generator().manual_seed(0))
    labels, asked = torch.tensor([0, 1, -1]), torch.ones(3, space.length, dtype=torch.bool)
    prior(tokens, labels, asked, 0.1).losses.sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in prior.parameters())
    known = tokens.clone()
    known[:, ::2] = prior.mask
    filled = prior.eval().fill(
        known, labels, config=SamplerConfig(steps=3), guidance=0.5, noise=Noise.of_examples(0, torch.arange(3))
    )
    assert torch.equal(filled[:, 1::2], tokens[:, 1::2])
    assert (filled >= 0).all()
    assert (filled > 2**62).any()


def test_digits_are_refused_where_a_book_has_none() -> None:
    space = TokenSpace(1024, (4, 4), (), "", {})
    for levels in ((), (1024,)):
        with pytest.raises(
            GridcodeError, match="the chain head predicts digits, and this codebook of 1,024 codes has none"
        ):
            make_vocabulary("chain", TokenSpace(1024, (4, 4), (), "", {}, levels=levels), width=8)
    assert isinstance(make_vocabulary("joint", space, width=8), JointVocabulary)


def test_a_book_too_large_to_lay_out_is_refused() -> None:
    with pytest.raises(GridcodeError, match=r"a joint head over 33,554,432 codes .* use model\.head=chain"):
        JointVocabulary(2**25, 0, width=8)
