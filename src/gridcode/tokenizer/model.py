"""The tokenizer: encoder, quantizer, decoder.

images --Encoder--> latents --Quantizer--> codes, indices --Decoder--> images
(B, C, H, W)        (B, d, h, w)           indices (B, h, w), or (B, h, w, q) where a place has q of them
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gridcode.errors import GridcodeError
from gridcode.hub import CONFIG, load_model, save_model, weights_hash
from gridcode.nn.module import in_evaluation, load_weights
from gridcode.quantize.base import Quantized, Quantizer
from gridcode.quantize.make import check_spec, make_quantizer
from gridcode.tokenizer.card import tokenizer_card
from gridcode.tokenizer.config import ArchitectureConfig, architecture_from_json
from gridcode.tokenizer.networks import make_networks
from gridcode.tokenizer.range import check_images

KIND = "tokenizer"


@dataclass(frozen=True)
class Reconstruction:
    """What a forward pass gives.

    Attributes:
        images: (B, C, H, W), the decoder's raw output; in [-1, 1] up to its errors.
        quantized: Codes (B, d, h, w), indices (B, h, w, *index_shape) and the quantizer's own loss.
    """

    images: Tensor
    quantized: Quantized


class Tokenizer(nn.Module):
    """Pictures to small grids of integers, and back (paper, section 3).

    Args:
        config: The kind and shape of encoder and decoder, and the quantizer.

    Raises:
        GridcodeError: The settings make no valid quantizer.

    >>> from gridcode.tokenizer.config import TokenizerConfig
    >>> tokenizer = Tokenizer(TokenizerConfig(widths=(8, 16)))
    >>> indices = tokenizer.encode(torch.zeros(2, 3, 16, 8))
    >>> indices.shape, tokenizer.decode(indices).shape
    (torch.Size([2, 8, 4]), torch.Size([2, 3, 16, 8]))
    """

    def __init__(self, config: ArchitectureConfig) -> None:
        super().__init__()
        self.config = config
        self.quantizer: Quantizer = make_quantizer(config.quantizer, channel_dim=1)
        self.encoder, self.decoder = make_networks(config, self.quantizer.channels)
        self.info: dict[str, Any] = {}
        """What the model card and the token store tell of the training data; saved with the weights."""

    @property
    def codebook_size(self) -> int:
        """The number of different tokens, K."""
        return self.quantizer.codebook_size

    @property
    def parameter_count(self) -> int:
        """Learned numbers: the parameters, and a quantizer's book where statistics move it instead of gradients."""
        book = sum(buffer.numel() for name, buffer in self.quantizer.named_buffers() if name == "codebook")
        return book + sum(parameter.numel() for parameter in self.parameters())

    def token_grid(self, height: int, width: int) -> tuple[int, ...]:
        """The shape of a picture's tokens: (h, w), and q where each place has q indices.

        Raises:
            GridcodeError: A side is not a multiple of the downsampling.
        """
        return (*self.config.grid(height, width), *self.quantizer.index_shape)

    def latents(self, images: Tensor) -> Tensor:
        """The encoder's latents (B, d, h, w) of images (B, C, H, W) in [-1, 1].

        Raises:
            GridcodeError: The channels differ from the config's, or a side is no multiple of the
                downsampling.
        """
        if images.ndim != 4 or images.shape[1] != self.config.channels:
            raise GridcodeError(
                f"the tokenizer takes images (B, {self.config.channels}, H, W), got shape "
                f"{tuple(images.shape)}; convert the channels"
            )
        self.config.grid(*images.shape[-2:])
        latents: Tensor = self.encoder(images)
        return latents

    def quantize(self, images: Tensor) -> Quantized:
        """Codes (B, d, h, w) and indices (B, h, w, *index_shape) of images (B, C, H, W) in [-1, 1].

        In training mode a quantizer may drop what it does there: a dropped stage has the index -1.

        Raises:
            GridcodeError: See :meth:`latents`.
        """
        out: Quantized = self.quantizer(self.latents(images))
        return out

    def forward(self, images: Tensor) -> Reconstruction:
        """Reconstruct images (B, C, H, W) in [-1, 1], with gradients straight through the quantizer."""
        quantized = self.quantize(images)
        return Reconstruction(self.decoder(quantized.codes), quantized)

    @torch.no_grad()
    def encode(self, images: Tensor, *, check_range: bool = True) -> Tensor:
        """Images (B, C, H, W) in [-1, 1] -> indices (B, h, w, *index_shape), int64 in [0, K).

        The quantizer works as in evaluation, whatever mode the tokenizer is in: it drops and learns nothing.

        Args:
            images: Floats.
            check_range: Whether to refuse values outside [-1, 1], at the cost of one reduction, which a GPU has to
                wait for; False for images that are known to fit.

        Raises:
            GridcodeError: The channels differ from the config's, a side is no multiple of the downsampling, or the
                images are no floats in [-1, 1].
        """
        check_images(images, check_range=check_range)
        with in_evaluation(self.quantizer):
            return self.quantize(images).indices

    @torch.no_grad()
    def decode(self, indices: Tensor) -> Tensor:
        """Indices (B, h, w, *index_shape) in [0, K) -> images (B, C, H, W) in [-1, 1], float32.

        Raises:
            GridcodeError: They have another rank, or an index is outside the codebook.
        """
        wanted = ("B", "h", "w", *(str(count) for count in self.quantizer.index_shape))
        if indices.ndim != len(wanted):
            raise GridcodeError(
                f"the tokenizer decodes indices ({', '.join(wanted)}), got shape {tuple(indices.shape)}; "
                "give them as encode returns them"
            )
        images: Tensor = self.decoder(self.quantizer.indices_to_codes(indices))
        return images.float().clamp(-1, 1)

    def weights_hash(self) -> str:
        """A name for exactly these weights; token stores and priors carry it."""
        return weights_hash(self.state_dict())

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``model.safetensors``, ``config.json`` and a model card into ``folder``.

        Raises:
            GridcodeError: The folder cannot be written.
        """
        config = {
            "kind": KIND,
            "model": asdict(self.config),
            "quantizer": self.quantizer.spec(),
            "parameters": self.parameter_count,
            "info": self.info,
        }
        save_model(Path(folder), tensors=self.state_dict(), config=config, card=tokenizer_card(self))

    @classmethod
    def from_pretrained(cls, source: str | Path, *, device: str | torch.device = "cpu") -> Tokenizer:
        """Load a tokenizer, ready for inference.

        Args:
            source: A folder (a saved model, or a training run's output) or a Hugging Face hub id.
            device: Where its weights go.

        Raises:
            GridcodeError: Nothing usable is at ``source``, or it is another kind of model.
        """
        folder = load_model(source, kind=KIND)
        try:
            tokenizer = cls(architecture_from_json(folder.config["model"]))
        except GridcodeError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise GridcodeError(
                f"{folder.path / CONFIG} is not a tokenizer's ({error}); was it saved by another version?"
            ) from None
        load_weights(tokenizer, folder.tensors, origin=folder.path)
        check_spec(tokenizer.quantizer, folder.config.get("quantizer"), where=folder.path / CONFIG)
        tokenizer.info = folder.config.get("info", {})
        return tokenizer.to(device).eval()
