"""Distributions that a prior predicts for tokens.

A sampler never sees logits: it draws, takes log-probabilities, and guides. So a head that never forms K
logits (``digit_distributions.py``) has the same methods.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self, TypeAlias

import torch
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.prior.noise import Noise
from gridcode.prior.samplers.config import GREEDY_BELOW

Choose: TypeAlias = Callable[[int, Tensor], Tensor]
"""Takes the number of a digit and its logits (M, L), and gives its values: int64 in [0, L), (M,)."""

SMALL = 4096
"""Codes up to which a float32 number tells all draws apart, and a block of logits holds all of a row."""


class TokenDistribution(Protocol):
    """Independent distributions over [0, K) for M tokens."""

    def sample(self, *, temperature: float, noise: Noise, top_k: int = 0, top_p: float = 1.0) -> Tensor:
        """Draw one token each: (M,) int64, with the noise of M rows; see :func:`draw`."""

    def log_prob(self, tokens: Tensor) -> Tensor:
        """Log-probability, in nats, of tokens (M,): (M,) float32."""

    def sample_with_log_prob(
        self, *, temperature: float, noise: Noise, top_k: int = 0, top_p: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Draw one token each, and their log-probabilities before temperature, top_k and top_p."""
        drawn = self.sample(temperature=temperature, noise=noise, top_k=top_k, top_p=top_p)
        return drawn, self.log_prob(drawn)

    def guide(self, unconditional: Self, scale: float) -> Self:
        """Push away from ``unconditional``: l' = l + scale (l - l_0) (paper, 4.3)."""

    def chosen(self, choose: Choose) -> Tensor:
        """The tokens (M,) whose digits are chosen, one softmax after another; given those before, where they count."""

    def digits(self, tokens: Tensor) -> tuple[Tensor, ...]:
        """What must be chosen, one (M,) a softmax, so that :meth:`chosen` gives ``tokens`` (M,)."""


@dataclass(frozen=True)
class CategoricalTokens(TokenDistribution):
    """One softmax over the whole codebook.

    Attributes:
        logits: (M, K) float32; float64 of a prior in float64.

    >>> with_class, without = torch.tensor([[0.0, 2.0]]), torch.tensor([[0.0, 1.0]])
    >>> CategoricalTokens(with_class).guide(CategoricalTokens(without), 0.5).logits
    tensor([[0.0000, 2.5000]])
    """

    logits: Tensor

    def sample(self, *, temperature: float, noise: Noise, top_k: int = 0, top_p: float = 1.0) -> Tensor:
        """See :class:`TokenDistribution`."""
        uniform = uniform_for(noise, self.logits.shape[-1])
        return draw(self.logits, temperature=temperature, uniform=uniform, top_k=top_k, top_p=top_p)

    def chosen(self, choose: Choose) -> Tensor:
        """See :class:`TokenDistribution`; the token is the one digit."""
        return choose(0, self.logits)

    def digits(self, tokens: Tensor) -> tuple[Tensor, ...]:
        """See :class:`TokenDistribution`."""
        return (tokens,)

    def log_prob(self, tokens: Tensor) -> Tensor:
        """See :class:`TokenDistribution`."""
        return self.logits.log_softmax(-1).gather(-1, tokens[:, None])[:, 0].float()

    def guide(self, unconditional: CategoricalTokens, scale: float) -> CategoricalTokens:
        """See :class:`TokenDistribution`."""
        return CategoricalTokens(self.logits + scale * (self.logits - unconditional.logits))


def at_least_float32(logits: Tensor) -> Tensor:
    """Logits in float32, where they are in half precision; those of a prior in float64 stay as exact as they are.

    >>> at_least_float32(torch.zeros(1, dtype=torch.bfloat16)).dtype, at_least_float32(torch.zeros(1).double()).dtype
    (torch.float32, torch.float64)
    """
    return logits if logits.dtype == torch.float64 else logits.float()


def draw(logits: Tensor, *, temperature: float, uniform: Tensor, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    """One draw from each row's softmax.

    Args:
        logits: (M, V) float32 or float64.
        temperature: Divides them; below :data:`~gridcode.prior.samplers.config.GREEDY_BELOW` the largest is taken,
            of equal ones the first.
        uniform: Numbers in [0, 1), (M,): which part of each row's probability is drawn. Probabilities are added up in
            their dtype: float32 tells those of some thousand entries apart, float64 those of millions.
        top_k: Only the k most probable may be drawn, of equal ones the first; 0 for all.
        top_p: Only the fewest most probable of which, after temperature, the probability is at least p; 1 for all.

    Returns:
        (M,) int64.

    Raises:
        GridcodeError: Logits that are NaN, or infinite and positive.

    >>> draw(torch.tensor([[0.0, 3.0, 2.0]]), temperature=1.0, uniform=torch.tensor([0.5]), top_k=1)
    tensor([1])
    """
    if temperature < GREEDY_BELOW:
        values, places = logits.max(-1)
        check_logits(values)
        return places
    if not len(logits):
        return torch.empty(0, dtype=torch.int64, device=logits.device)
    if 0 < top_k < logits.shape[-1]:
        logits = logits.masked_fill(~_largest(logits, top_k), -torch.inf)
    probabilities = (logits / temperature).softmax(-1)
    if top_p < 1:
        ordered, places = probabilities.sort(dim=-1, descending=True, stable=True)
        # What comes after enough of the probability; the first one always stays.
        beyond = ordered.cumsum(-1) - ordered >= top_p
        probabilities = probabilities.masked_fill(beyond.scatter(-1, places, beyond), 0)
    return invert(probabilities.to(uniform.dtype), uniform[:, None])[0]


def uniform_for(noise: Noise, codes: int) -> Tensor:
    """Numbers that draw from so many codes, as :func:`draw` wants them; float32 where the device has no float64."""
    return noise.uniform(torch.float32 if codes <= SMALL or noise.keys.device.type == "mps" else torch.float64)


def check_logits(values: Tensor) -> None:
    """Refuse what is not finite: largest logits, or sums of weights.

    Raises:
        GridcodeError: One is NaN or infinite.
    """
    if not bool(values.isfinite().all()):
        raise GridcodeError("the prior's logits are not finite: its weights are damaged, or its training diverged")


def _largest(logits: Tensor, count: int) -> Tensor:
    """The ``count`` largest of each row (M, V), of equal ones the first: (M, V) bool."""
    least = logits.topk(count, -1).values[:, -1:]
    above, equal = logits > least, logits == least
    return above | (equal & (equal.cumsum(-1) <= count - above.sum(-1, keepdim=True)))


def invert(weights: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """One place of each row, as likely as its weight: where the running sum passes a uniform draw.

    ``torch.multinomial`` draws a number for every entry, on one thread: 95 ms for 4096 rows of 1000, to 3 ms.

    Args:
        weights: (M, V), 0 or more.
        uniform: Numbers in [0, 1), (M, 1), of the same dtype.

    Returns:
        Places, int64, and how far into the weight of its place each draw is, in [0, 1); (M,) both.

    Raises:
        GridcodeError: Weights are not finite.

    >>> invert(torch.tensor([[1.0, 3.0]]), torch.tensor([[0.625]]))
    (tensor([1]), tensor([0.5000]))
    """
    running = weights.cumsum(-1)
    total = running[:, -1:]
    check_logits(total)
    # Rounding may reach the total itself, which no place passes.
    threshold = torch.minimum(uniform * total, total.nextafter(total.new_zeros(())))
    places = torch.searchsorted(running, threshold, right=True)
    weight = weights.gather(-1, places)
    within = ((threshold - running.gather(-1, places) + weight) / weight).clamp(
        0, 1 - torch.finfo(weights.dtype).eps / 2
    )
    return places[:, 0], within[:, 0]
