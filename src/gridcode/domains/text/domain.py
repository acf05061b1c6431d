"""Texts as a kind of data: how they are read, tokenized, measured and shown.

bytes (B, T) in [0, 256) --Encoder--> latents (B, d, 1, t);   codes (B, d, 1, t) --Decoder--> logits (B, 256, T)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import log2, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, final

import torch
from torch import Tensor, nn

from gridcode.data.workers import TrainOrder
from gridcode.domains.text.config import (
    VALUES,
    TextConfig,
    TextTokenizerConfig,
    TextTokenizerRun,
)
from gridcode.domains.text.data import TextBatch, TextSource, eval_batches, open_texts, train_batches
from gridcode.domains.text.loss import TextObjective
from gridcode.domains.text.measure import measure_reconstructions
from gridcode.domains.text.networks import Decoder, Encoder, parts_of
from gridcode.domains.text.show import save_sheet
from gridcode.errors import GridcodeError
from gridcode.tokenizer.domain import Domain, Measurement, Outline, Sources
from gridcode.tokenizer.labelled import recorded_data
from gridcode.tokenizer.model import Tokenizer
from gridcode.training.resume import describe
from gridcode.training.run import RunOptions

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@final
class TextDomain(Domain):
    """Rows of bytes, of any length that is a multiple of the tokenizer's stride."""

    name: ClassVar[str] = "text"

    open = staticmethod(open_texts)
    architecture = TextTokenizerConfig.from_json

    @classmethod
    def train_batches(cls, source: TextSource, data: TextConfig, order: TrainOrder) -> Iterator[TextBatch]:
        """See :func:`gridcode.domains.text.data.train_batches`."""
        return train_batches(source, order)

    @classmethod
    def eval_batches(cls, source: TextSource, data: TextConfig, *, batch_size: int) -> Iterator[TextBatch]:
        """See :func:`gridcode.domains.text.data.eval_batches`."""
        return eval_batches(source, batch_size=batch_size)

    @classmethod
    def part(cls, source: TextSource, count: int) -> TextSource:
        """See :class:`Domain`."""
        return source.part(count)

    @classmethod
    def identity(cls, source: TextSource) -> dict[str, Any]:
        """Number and names of the windows."""
        return describe(len(source), (), (source.key(index) for index in range(len(source))))

    @classmethod
    def understood(cls, data: TextConfig, sources: Sources) -> Sequence[str]:
        """Texts, bytes and windows of each split."""
        return [
            f"{split}: {len(part):,} windows of {part.window} bytes, {part.size:,} bytes of {part.name}"
            for split, part in vars(sources).items()
        ]

    @classmethod
    def recorded(cls, data: TextConfig, source: TextSource) -> TextConfig:
        """See :class:`Domain`."""
        return replace(data, source=source.name, val_source=None)

    @classmethod
    def without_workers(cls, data: TextConfig) -> TextConfig:
        """The same: texts are in memory."""
        return data

    def shape(self, data: TextConfig) -> tuple[int]:
        """Bytes."""
        return (data.window,)

    def make_networks(self, config: TextTokenizerConfig, latents: int) -> tuple[nn.Module, nn.Module]:
        """See :mod:`gridcode.domains.text.networks`."""
        return Encoder(config, latents), Decoder(config, latents)

    def blocks(self, network: nn.Module) -> Sequence[nn.Module]:
        """The units."""
        return parts_of(network)

    def encoder_inputs(self, config: TextTokenizerConfig, examples: Tensor, context: Tensor | None) -> tuple[Tensor]:
        """The bytes as numbers, (B, T) int64.

        Raises:
            GridcodeError: They have another rank or are no integers, T is no multiple of the stride, or there is a
                context.
        """
        if context is not None:
            raise GridcodeError("a tokenizer of texts reads texts alone; give no context")
        if examples.ndim != 2 or examples.is_floating_point() or examples.dtype == torch.bool:
            raise GridcodeError(
                f"the tokenizer takes bytes (B, T) as integers, got {examples.dtype} of shape {tuple(examples.shape)}; "
                "make them by torch.frombuffer(bytearray(text), dtype=torch.uint8)"
            )
        config.grid(examples.shape[-1])
        return (examples.long(),)

    def check_range(
        self, config: TextTokenizerConfig, examples: Tensor, context: Tensor | None, *, check_values: bool
    ) -> None:
        """Refuse numbers that are no bytes."""
        if check_values and examples.numel() and examples.dtype != torch.uint8:
            least, most = int(examples.min()), int(examples.max())
            if least < 0 or most >= VALUES:
                raise GridcodeError(
                    f"bytes must be in [0, {VALUES}), got {least} to {most}; encode text as UTF-8 before"
                )

    def decoded(self, config: TextTokenizerConfig, outputs: Tensor) -> Tensor:
        """The most probable value of every byte, (B, T) uint8."""
        return outputs.argmax(1).to(torch.uint8)

    def most_bits(self, tokenizer: Tokenizer) -> float:
        """Bits per character that the tokens can hold."""
        tokens: int = prod(tokenizer.quantizer.index_shape)
        return float(tokens * log2(tokenizer.codebook_size) / tokenizer.config.stride)

    def outline(self, tokenizer: Tokenizer, run: TextTokenizerRun, *, bytes_per_value: int) -> Outline:
        """See :class:`Domain`; with the rate in bits per character."""
        plain = super().outline(tokenizer, run, bytes_per_value=bytes_per_value)
        return replace(plain, facts={"bit rate": f"{self.most_bits(tokenizer):.2f} bits per character, at most"})

    def card_rows(self, tokenizer: Tokenizer) -> Mapping[str, str]:
        """See :class:`Domain`."""
        stride, data = tokenizer.config.stride, tokenizer.info.get("data", {})
        sides = "".join(f", {count}" for count in tokenizer.quantizer.index_shape)
        return {
            "networks": "one-dimensional convolutions",
            "texts": "bytes, of any encoding",
            "downsampling": f"{stride} bytes per place",
            "bit rate": f"{self.most_bits(tokenizer):.2f} bits per character, at most",
            "data": f"{tokenizer.info.get('dataset', 'unknown')}, windows of {data.get('window', '?')} bytes",
            "example": f"indices = tokenizer.encode(text)   # (B, T) uint8 -> (B, 1, T/{stride}{sides})\n"
            "text = tokenizer.decode(indices)",
        }

    def encode_inputs(self, batch: TextBatch) -> tuple[Tensor]:
        """The windows."""
        return (batch.text,)

    def make_objective(
        self, run: TextTokenizerRun, tokenizer: Tokenizer, sources: Sources, options: RunOptions, *, fabric: Fabric
    ) -> TextObjective:
        """See :class:`gridcode.domains.text.loss.TextObjective`."""
        return TextObjective()

    def measure(self, tokenizer: Tokenizer, batches: Iterable[TextBatch]) -> Measurement:
        """``byte_accuracy``, ``whole_windows``, ``decoder_bits`` (a character), ``usage``, ``perplexity``."""
        found = measure_reconstructions(tokenizer, batches)
        scores = {
            "byte_accuracy": found.byte_accuracy,
            "whole_windows": found.whole_windows,
            "decoder_bits": found.decoder_bits,
        }
        return Measurement.of(scores, found.usage, score=-found.decoder_bits)

    def save_images(self, path: Path, tokenizer: Tokenizer, batch: TextBatch) -> None:
        """The windows, each with its reconstruction to the right and wrong characters in red."""
        backs = tokenizer.decode(tokenizer.encode(batch.text.to(tokenizer.device)))
        save_sheet(path, batch.text.numpy(), backs.cpu().numpy())


def data_of(tokenizer: Tokenizer) -> TextConfig:
    """The :class:`TextConfig` in the tokenizer's own record.

    Raises:
        GridcodeError: It has none, or one that this version cannot read.
    """
    return recorded_data(tokenizer.info, TextConfig, nouns="texts")


DOMAIN = TextDomain
