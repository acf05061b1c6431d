"""From the shape of a tokenizer to its two networks: one place that knows every architecture.

A new kind is a config below ``ImageArchitecture``, a member of ``ArchitectureConfig`` (``config.py``), a file here, and
a case below.
"""

from __future__ import annotations

from itertools import chain

from torch import nn

from gridcode.domains.image.architectures import TokenizerConfig, ViTConfig
from gridcode.domains.image.config import ArchitectureConfig
from gridcode.domains.image.networks.conv import Decoder, Encoder
from gridcode.domains.image.networks.vit import ViTDecoder, ViTEncoder
from gridcode.domains.image.networks.vqgan import VQGANDecoder, VQGANEncoder
from gridcode.domains.image.vqgan_config import VQGANConfig


def make_networks(config: ArchitectureConfig, latents: int) -> tuple[nn.Module, nn.Module]:
    """A new encoder and a new decoder.

    Args:
        config: Their kind and shape.
        latents: Channels of the latents, d.

    Returns:
        (B, C, H, W) in [-1, 1] -> (B, d, h, w), and the way back.

    >>> import torch
    >>> encoder, decoder = make_networks(TokenizerConfig(widths=(8, 16)), 4)
    >>> decoder(encoder(torch.zeros(1, 3, 8, 6))).shape
    torch.Size([1, 3, 8, 6])
    """
    match config:
        case TokenizerConfig():
            return Encoder(config, latents), Decoder(config, latents)
        case ViTConfig():
            return ViTEncoder(config, latents), ViTDecoder(config, latents)
        case VQGANConfig():
            return VQGANEncoder(config, latents), VQGANDecoder(config, latents)


def blocks_of(network: nn.Module) -> list[nn.Module]:
    """The parts of an encoder or a decoder between which activations are kept where the rest is recomputed.

    Its children, and of a child that is a list the members: each takes tensors and gives one.
    """
    parts = ([*child] if isinstance(child, nn.ModuleList) else [child] for child in network.children())
    return [*chain.from_iterable(parts)]
