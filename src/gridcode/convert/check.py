"""A converted tokenizer beside diffusers' own layers with the same weights, on the same images.

    share = mean [encode(x) = encode'(x)]        difference = max |decode(i) - decode'(i)|,  i = encode'(x)

For a model of diffusers', the folder is loaded by diffusers itself, so names and layers are both checked. For one of
taming-transformers', whose package hardly installs any more, diffusers' layers get the converted weights: its layers
are the ones that diffusers took over, written independently of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from gridcode.convert.names import source_names
from gridcode.convert.tokenizer import Conversion
from gridcode.domains.image.vqgan_config import VQGANConfig
from gridcode.errors import GridcodeError
from gridcode.tokenizer.model import Tokenizer

LEAST_SHARE, MOST_DIFFERENCE = 0.99, 1e-3
"""What float32 may do to two orders of the same sums: a near tie between codewords may fall otherwise, and pixels in
[-1, 1] may differ a little: by up to 1e-4, as sums are taken in another order."""


@dataclass(frozen=True)
class Agreement:
    """How well two tokenizers agree.

    Attributes:
        tokens: How many were compared.
        equal: How many have the same index.
        difference: The largest difference of decoded pixels in [-1, 1], before clamping, from equal indices; of
            pixels further out, relative to the largest.
    """

    tokens: int
    equal: int
    difference: float

    @property
    def holds(self) -> bool:
        """No more than what rounding does."""
        return self.equal >= LEAST_SHARE * self.tokens and self.difference <= MOST_DIFFERENCE


@torch.no_grad()
def check_conversion(conversion: Conversion, path: str | Path, *, count: int = 2, seed: int = 0) -> Agreement:
    """Compare a converted tokenizer with diffusers' layers on random images, rough and smooth ones.

    Args:
        conversion: From :func:`gridcode.convert.convert_tokenizer`; in evaluation mode, on the CPU.
        path: What it was converted from.
        count: Images.
        seed: Of the images.

    Raises:
        GridcodeError: diffusers is not installed.
    """
    tokenizer = conversion.tokenizer
    config = _vqgan(tokenizer)
    reference = _loaded(Path(path).expanduser()) if conversion.project == "diffusers" else _rebuilt(tokenizer, config)
    images = random_images(count, config.channels, side=max(64, 8 * config.downsampling), seed=seed)
    latents = reference.encode((images + 1) / 2 if config.unit_range else images).latents
    # (B, d, h, w) -> the codebook's indices in reading order, a flat row
    indices = reference.quantize(latents)[2][2].reshape(count, *latents.shape[-2:])
    # Its own decode() takes z + (e - z), which rounds where latents and codewords are of different sizes.
    codes = reference.quantize.embedding(indices).movedim(-1, 1)
    theirs = reference.decoder(reference.post_quant_conv(codes))
    theirs = theirs * 2 - 1 if config.unit_range else theirs
    ours = tokenizer.decoder(tokenizer.quantizer.indices_to_codes(indices))
    difference = float((ours - theirs).abs().max()) / max(1.0, float(theirs.abs().max()))
    return Agreement(indices.numel(), int((tokenizer.encode(images) == indices).sum()), difference)


def random_images(count: int, channels: int, *, side: int, seed: int) -> Tensor:
    """(count, channels, side, side) in [-1, 1]: every second one smooth, the others white noise.

    >>> random_images(2, 3, side=16, seed=0).shape
    torch.Size([2, 3, 16, 16])
    """
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, channels, side, side, generator=generator) * 2 - 1
    coarse = torch.rand(count, channels, 4, 4, generator=generator) * 2 - 1
    images[::2] = F.interpolate(coarse[::2], size=(side, side), mode="bilinear")
    return images


def _vqgan(tokenizer: Tokenizer) -> VQGANConfig:
    assert isinstance(tokenizer.config, VQGANConfig)
    return tokenizer.config


def _diffusers() -> Any:
    try:
        from diffusers import VQModel
    except ImportError as error:
        raise GridcodeError(f"the check needs diffusers ({error}); pip install diffusers, or leave it out") from None
    return VQModel


def _loaded(folder: Path) -> Any:
    """The model as diffusers reads it."""
    safe = any(folder.glob("*.safetensors"))
    return _diffusers().from_pretrained(folder, use_safetensors=safe, low_cpu_mem_usage=False).float().eval()


def _rebuilt(tokenizer: Tokenizer, config: VQGANConfig) -> Any:
    """A model of diffusers' layers with a tokenizer's weights."""
    if config.decoder_blocks != config.encoder_blocks + 1:
        raise GridcodeError(
            f"diffusers cannot build {config.encoder_blocks} blocks a level before {config.decoder_blocks}; "
            "leave the check out"
        )
    attended = [level in config.encoder_attention for level in range(len(config.widths))]
    back = [level in config.decoder_attention for level in reversed(range(len(config.widths)))]
    model = _diffusers()(
        in_channels=config.channels,
        out_channels=config.channels,
        down_block_types=tuple(f"{'Attn' * here}DownEncoderBlock2D" for here in attended),
        up_block_types=tuple(f"{'Attn' * here}UpDecoderBlock2D" for here in back),
        block_out_channels=config.widths,
        layers_per_block=config.encoder_blocks,
        latent_channels=config.latents,
        num_vq_embeddings=tokenizer.codebook_size,
        vq_embed_dim=tokenizer.quantizer.channels,
        mid_block_add_attention=config.middle_attention,
    )
    own, wanted = tokenizer.state_dict(), model.state_dict()
    names = source_names(own, "diffusers", levels=len(config.widths))
    model.load_state_dict({theirs: own[ours].reshape(wanted[theirs].shape) for ours, theirs in names.items()})
    return model.eval()
