"""The tokenizer: encoder, quantizer, decoder, of any kind of data.

examples --Encoder--> latents --Quantizer--> codes, indices --Decoder--> examples
(B, …)                (B, d, *grid)          indices (B, *grid), or (B, *grid, q) where a place has q of them

Images are (B, C, H, W) in [-1, 1], and their grid is (h, w). What an example is, and what else encoder and decoder
may see (a *context*: of a label map the image), is the business of its :class:`gridcode.tokenizer.domain.Domain`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gridcode.errors import GridcodeError
from gridcode.hub import CONFIG, ModelFolder, load_model, save_model, weights_hash
from gridcode.nn.module import count_parameters, in_evaluation, load_weights
from gridcode.quantize.base import Quantized, Quantizer
from gridcode.quantize.make import check_spec, make_quantizer
from gridcode.quantize.partial import quantize_with_dropout
from gridcode.tokenizer.card import tokenizer_card
from gridcode.tokenizer.config import Architecture
from gridcode.tokenizer.domain import Domain, domain_class

KIND = "tokenizer"
OLD_KINDS = {"label-tokenizer": "dense"}
"""What ``config.json`` called tokenizers of other kinds of data before it named the kind of data."""


@dataclass(frozen=True)
class Reconstruction:
    """What a forward pass gives.

    Attributes:
        outputs: The decoder's: of images (B, C, H, W), in [-1, 1] up to its errors.
        quantized: Codes (B, d, *grid), indices (B, *grid, *index_shape) and the quantizer's own loss.
    """

    outputs: Any
    quantized: Quantized


class Tokenizer(nn.Module):
    """Examples to small grids of integers, and back (paper, section 3).

    Args:
        config: The kind and shape of encoder and decoder, and the quantizer.
        domain: What is known of the data; not needed for images.

    Raises:
        GridcodeError: The settings make no valid tokenizer.

    >>> from gridcode.domains.image import TokenizerConfig
    >>> tokenizer = Tokenizer(TokenizerConfig(widths=(8, 16)))
    >>> indices = tokenizer.encode(torch.zeros(2, 3, 16, 8))
    >>> indices.shape, tokenizer.decode(indices).shape
    (torch.Size([2, 8, 4]), torch.Size([2, 3, 16, 8]))
    """

    def __init__(self, config: Architecture, domain: Domain | None = None) -> None:
        super().__init__()
        self.config: Any = config
        self.domain = domain_class(config.domain).from_json({}) if domain is None else domain
        self.quantizer: Quantizer = make_quantizer(config.quantizer, channel_dim=1)
        self.encoder, self.decoder = self.domain.make_networks(config, self.quantizer.channels)
        self.info: dict[str, Any] = {}
        """What the model card and the token store tell of the training data; saved with the weights."""

    @property
    def codebook_size(self) -> int:
        """The number of different tokens, K."""
        return self.quantizer.codebook_size

    @property
    def parameter_count(self) -> int:
        """Learned numbers: the parameters, and a quantizer's codebook where statistics move it instead of gradients."""
        codebook = sum(buffer.numel() for name, buffer in self.quantizer.named_buffers() if name == "codebook")
        return codebook + count_parameters(self)

    @property
    def device(self) -> torch.device:
        """Where the tokenizer lives."""
        return next(self.parameters()).device

    def token_grid(self, *shape: int) -> tuple[int, ...]:
        """The shape of an example's tokens: (h, w) of an image of (height, width), and q where a place has q indices.

        Raises:
            GridcodeError: There are none of examples of that shape, of images because a side is not a multiple of
                the downsampling.
        """
        return (*self.config.grid(*shape), *self.quantizer.index_shape)

    def latents(self, examples: Tensor, context: Tensor | None = None) -> Tensor:
        """The encoder's latents (B, d, *grid).

        Args:
            examples: (B, …); images (B, C, H, W) in [-1, 1].
            context: What is seen beside them, where the kind of data has that.

        Raises:
            GridcodeError: A shape or type does not fit.
        """
        latents: Tensor = self.encoder(*self.domain.encoder_inputs(self.config, examples, context))
        return latents

    def quantize(self, examples: Tensor, context: Tensor | None = None) -> Quantized:
        """Codes (B, d, *grid) and indices (B, *grid, *index_shape) of examples; see :meth:`latents`.

        In training mode a quantizer may drop what it does there: a dropped stage has the index -1.
        """
        out: Quantized = self.quantizer(self.latents(examples, context))
        return out

    def forward(
        self,
        examples: Tensor,
        context: Tensor | None = None,
        dropped: Tensor | None = None,
        *,
        quantizer_dropout: float = 0.0,
    ) -> Reconstruction:
        """Reconstruct examples, with gradients straight through the quantizer.

        Args:
            examples: As :meth:`latents` takes them.
            context: Likewise.
            dropped: bool, (B, *grid), True where the decoder does not get the code; only where the kind allows it.
            quantizer_dropout: Share of examples that pass the quantizer unrounded.
        """
        if quantizer_dropout:
            quantized = quantize_with_dropout(self.quantizer, self.latents(examples, context), quantizer_dropout)
        else:
            quantized = self.quantize(examples, context)
        beside = self.domain.decoder_inputs(self.config, len(examples), context, dropped)
        return Reconstruction(self.decoder(quantized.codes, *beside), quantized)

    @torch.no_grad()
    def encode(self, examples: Tensor, context: Tensor | None = None, *, check_range: bool = True) -> Tensor:
        """Examples -> indices (B, *grid, *index_shape), int64 in [0, K).

        The quantizer works as in evaluation, whatever mode the tokenizer is in: it drops and learns nothing.

        Args:
            examples: As :meth:`latents` takes them.
            context: Likewise.
            check_range: Whether to refuse values outside [-1, 1], at the cost of one reduction, which a GPU has to
                wait for; False for examples that are known to fit.

        Raises:
            GridcodeError: A shape, a type or a value does not fit.
        """
        self.domain.check_range(self.config, examples, context, check_values=check_range)
        with in_evaluation(self.quantizer):
            return self.quantize(examples, context).indices

    @torch.no_grad()
    def decode(self, indices: Tensor, context: Tensor | None = None, *, known: Tensor | None = None) -> Tensor:
        """Indices (B, *grid, *index_shape) in [0, K) -> examples: images (B, C, H, W) in [-1, 1], float32.

        Args:
            indices: As :meth:`encode` gives them.
            context: What is seen beside them, where the kind of data has that.
            known: bool, (B, *grid): where it is False the index is ignored; only where the kind allows it.

        Raises:
            GridcodeError: They have another rank, or an index is outside the codebook.
        """
        places = indices.ndim - 1 - len(self.quantizer.index_shape)
        wanted = ("B", *self.config.grid_names, *(str(count) for count in self.quantizer.index_shape))
        fits = indices.ndim == len(wanted) and all(
            not name.isdecimal() or int(name) == side
            for name, side in zip(self.config.grid_names, indices.shape[1:], strict=False)
        )
        if not fits:
            raise GridcodeError(
                f"the tokenizer decodes indices ({', '.join(wanted)}), got shape {tuple(indices.shape)}; give them as "
                "encode returns them"
            )
        dropped = None
        if known is not None:
            grid = indices.shape[: 1 + places]
            if known.dtype != torch.bool or known.shape != grid:
                raise GridcodeError(
                    f"known is {known.dtype} of shape {tuple(known.shape)}; give bool of shape {tuple(grid)}, True "
                    "where an index is known"
                )
            dropped = ~known.to(indices.device)
            indices = indices.masked_fill(dropped.reshape(*known.shape, *[1] * len(self.quantizer.index_shape)), 0)
        codes = self.quantizer.indices_to_codes(indices)
        beside = self.domain.decoder_inputs(self.config, len(indices), context, dropped)
        return self.domain.decoded(self.config, self.decoder(codes, *beside))

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
            "domain": self.domain.name,
            "model": asdict(self.config),
            **self.domain.to_json(),
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
        folder = load_model(source, kind=(KIND, *OLD_KINDS))
        config = _migrated(folder)
        try:
            kind = domain_class(config["domain"])
            tokenizer = cls(kind.architecture(config["model"]), kind.from_json(config))
        except GridcodeError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise GridcodeError(
                f"{folder.path / CONFIG} is not a tokenizer's ({error}); was it saved by another version?"
            ) from None
        load_weights(tokenizer, folder.tensors, origin=folder.path)
        check_spec(tokenizer.quantizer, config.get("quantizer"), where=folder.path / CONFIG)
        tokenizer.info = config.get("info", {})
        return tokenizer.to(device).eval()


def _migrated(folder: ModelFolder) -> dict[str, Any]:
    """The config as this version writes it: folders of version 1 do not name the kind of data."""
    return {"domain": OLD_KINDS.get(folder.config["kind"], "image"), **folder.config}
