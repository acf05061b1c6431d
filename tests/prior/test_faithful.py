"""The faithful preset's loss, from its recipe, in numpy: masks, BERT, tied head, smoothing, means; token by token.

Written from the paper's recipe (section 4 of MaskGIT's and A.4.2 of the FSQ paper), not from the code that is tested.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gridcode.prior.base import Prior
from gridcode.prior.config import MaskGITConfig, TokenSpace
from gridcode.prior.maskgit import MaskGIT
from gridcode.prior.schedule import training_mask
from gridcode.prior.train import prediction_scores

Array = NDArray[np.float64]
K, N, HEADS, CLASSES = 7, 6, 2, 3


@pytest.fixture(scope="module")
def prior() -> MaskGIT:
    torch.manual_seed(0)
    config = MaskGITConfig(style="maskgit", width=8, depth=2, heads=HEADS, mlp=12, dropout=0.0)
    prior = MaskGIT(config, TokenSpace(K, (2, 3), ("a", "b", "c"), "", {})).eval().requires_grad_(False)
    for parameter in prior.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.3)
    return prior


def norm(x: Array, get: dict[str, Array], name: str) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
    return scaled * get[f"{name}.weight"] + get[f"{name}.bias"]


def dense(x: Array, get: dict[str, Array], name: str) -> Array:
    return x @ get[f"{name}.weight"].T + get[f"{name}.bias"]


def gelu(x: Array) -> Array:
    return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def bert(prior: Prior, sequence: NDArray[np.int64]) -> Array:
    """Logits (N + 1, K + classes + 1) of one sequence: the class, then the tokens."""
    get = {name: value.double().numpy() for name, value in prior.state_dict().items()}
    table = get["vocabulary.embedding.weight"]
    x = norm(table[sequence] + get["trunk.positions.weight"], get, "trunk.norm")
    for layer in range(2):
        block = f"trunk.blocks.{layer}"
        q, k, v = np.split(dense(x, get, f"{block}.attention.qkv"), 3, -1)
        heads = []
        for part in np.split(np.arange(8), HEADS):
            scores = q[:, part] @ k[:, part].T / math.sqrt(8 / HEADS)
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            heads.append(weights / weights.sum(-1, keepdims=True) @ v[:, part])
        x = norm(x + dense(np.concatenate(heads, -1), get, f"{block}.attention.out"), get, f"{block}.norm1")
        inner = gelu(dense(x, get, f"{block}.mlp.0"))
        x = norm(x + dense(inner, get, f"{block}.mlp.2"), get, f"{block}.norm2")
    x = norm(gelu(dense(x, get, "trunk.head.0")), get, "trunk.head.2")
    return x @ table.T + get["vocabulary.bias"]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_training_loss_is_the_recipes(prior: MaskGIT, smoothing: float) -> None:
    chance = np.random.default_rng(0)
    tokens = chance.integers(0, K, (5, N))
    labels = np.array([0, 1, 2, -1, 1])
    masked = training_mask((5, N), min_masked=0.45, generator=torch.Generator().manual_seed(3)).numpy()
    examples = []
    for row, label, hidden in zip(tokens, labels, masked, strict=True):
        mask = K + CLASSES  # the last of the vocabulary, for a hidden token and for a hidden class
        sequence = np.array([K + label if label >= 0 else mask, *np.where(hidden, mask, row)])
        losses = []
        for place in np.flatnonzero(hidden):
            logits = bert(prior, sequence)[1 + place]
            log_p = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
            target = np.full(K + CLASSES + 1, smoothing / (K + CLASSES + 1))
            target[row[place]] += 1 - smoothing
            losses.append(-(target * log_p).sum())
        examples.append(np.mean(losses))
    asked = torch.from_numpy(masked)
    scores = prior(torch.from_numpy(tokens), torch.from_numpy(labels), asked, smoothing)
    assert float(prediction_scores(scores, asked).loss) == pytest.approx(np.mean(examples), rel=1e-5)


def test_samplers_see_the_same_logits_cut_to_the_codes(prior: MaskGIT) -> None:
    sequence = np.array([K + 1, 2, K + CLASSES, 0, K + CLASSES, 6, 1])
    hidden = torch.from_numpy(sequence[None, 1:] == K + CLASSES)
    answer = prior.conditional(torch.tensor([1]))(torch.from_numpy(sequence[None, 1:]), hidden, 0.0)
    np.testing.assert_allclose(answer.logits, bert(prior, sequence)[[2, 4], :K], atol=1e-5)  # type: ignore[attr-defined]


def test_masks_are_the_recipes_counts() -> None:
    """N_masked = ceil(cos(pi/2 (1 - r)) N), r ~ U[1 - 2 arccos(0.45) / pi, 1], the r drawn first."""
    B, draws = 400, torch.Generator().manual_seed(5)
    masked = training_mask((B, N), min_masked=0.45, generator=draws)
    r_min = 1 - 2 * math.acos(0.45) / math.pi
    u = torch.rand(B, generator=torch.Generator().manual_seed(5), dtype=torch.float64).numpy()
    expected = np.ceil(np.cos(np.pi / 2 * (1 - (r_min + (1 - r_min) * u))) * N)
    np.testing.assert_array_equal(masked.sum(1).numpy(), expected)
