"""Are samples of clear and of many classes, as a classifier sees them? The Inception score.

    IS = exp( mean over x of sum over y of p(y|x) (log p(y|x) - log p(y)) ),   p(y) = mean over x of p(y|x)

from 1, where all samples look alike, to the number of classes K. It knows no real images. The score of a set is the
mean over consecutive parts of ``part_size`` samples, as ADM's suite computes it (parts of 5000; a score from fewer
samples is lower); the order of the samples matters where it goes with their classes, so mix them.

The name belongs to the figure by one certain Inception network, from its logits without their bias.

Reference: Salimans et al., "Improved techniques for training GANs", 2016, section 4; openai/guided-diffusion,
``evaluations/evaluator.py``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gridcode.errors import GridcodeError


def inception_score(logits: Tensor, *, part_size: int = 5000) -> float:
    """The Inception score of samples, from a classifier's logits.

    Args:
        logits: (n, K) of any float type, on any device.
        part_size: Samples in a part; the last part may have fewer.

    Returns:
        The mean over the parts, in [1, K].

    Raises:
        GridcodeError: The shape is wrong, there is no sample, ``part_size`` is below 1, or a logit is not finite.

    >>> round(inception_score(torch.eye(4) * 100), 3), inception_score(torch.zeros(4, 4))
    (4.0, 1.0)
    """
    if logits.ndim != 2 or not len(logits) or part_size < 1:
        raise GridcodeError(
            f"Inception score: needs logits (n, K) of at least one sample and part_size >= 1, saw "
            f"{tuple(logits.shape)} and {part_size}"
        )
    if not bool(logits.isfinite().all()):
        raise GridcodeError("Inception score: logits are NaN or infinite; the network or its images are damaged")
    scores = []
    for part in torch.split(logits, part_size):
        log_p = part.to("cpu", torch.float64).log_softmax(1)
        p = log_p.exp()
        # p log p is 0 where p is; a class that no sample has adds nothing.
        log_mean = p.mean(0).log().clamp(min=torch.finfo(torch.float64).min)
        scores.append((p * (log_p - log_mean)).sum(1).mean().exp())
    return float(torch.stack(scores).mean())
