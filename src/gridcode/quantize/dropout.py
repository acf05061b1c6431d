"""Quantizer dropout: in training some samples pass unquantized, so that decoder and encoder also meet without rounding.

Reference: Défossez et al. 2024 (Moshi, arXiv 2410.00037), section 3.3.1, which quantizes half of the sequences.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.quantize.base import Quantized, Quantizer
from gridcode.quantize.latents import channel_place, sample_shape


def quantize_with_dropout(
    quantizer: Quantizer, latents: Tensor, rate: float, *, generator: torch.Generator | None = None
) -> Quantized:
    """Quantize latents; in training, leave each sample with probability ``rate`` as it was before rounding.

    Args:
        quantizer: Any; in evaluation mode this is a plain call of it.
        latents: As it takes them; samples lie along the first dimension that does not hold the channels.
        rate: In [0, 1].
        generator: Where the choice comes from; PyTorch's global numbers by default.

    Returns:
        Codes, in passed samples ``quantizer.relax(latents)`` with its gradient; the indices and the loss of the
        quantized latents.

    Raises:
        GridcodeError: The rate is no probability, or the quantizer refuses the latents.

    >>> from gridcode.quantize.fsq.quantizer import FSQ
    >>> quantizer, z = FSQ([8, 5]).train(), torch.zeros(3, 2)
    >>> torch.equal(quantize_with_dropout(quantizer, z, 1.0).codes, quantizer.relax(z))
    True
    """
    if not 0 <= rate <= 1:
        raise GridcodeError(f"quantizer dropout: the rate is {rate!r}; give a probability in [0, 1]")
    out: Quantized = quantizer(latents)
    if not (quantizer.training and rate):
        return out
    shape = sample_shape(latents.shape, channel_place(quantizer, latents.ndim))
    source = latents.device if generator is None else generator.device
    passed = (torch.rand(shape, generator=generator, device=source) < rate).to(latents.device)
    codes = torch.where(passed, quantizer.relax(latents).to(out.codes.dtype), out.codes)
    return Quantized(codes=codes, indices=out.indices, loss=out.loss)
