"""Sounds as a kind of data: how they are read, tokenized, measured and shown.

waveforms (B, 1, T) in [-1, 1] --Encoder--> latents (B, d, 1, t);   codes (B, d, 1, t) --Decoder--> waveforms
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log2, prod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, final

import torch
from torch import Tensor, nn

from gridcode.domains.audio.architectures import AudioArchitectureConfig, audio_architecture_from_json
from gridcode.domains.audio.config import AudioConfig, AudioTokenizerRun
from gridcode.domains.audio.data.loader import AudioBatch, eval_batches, train_batches
from gridcode.domains.audio.data.source import open_sounds
from gridcode.domains.audio.loss import AudioObjective, make_discriminator
from gridcode.domains.audio.measure import measure_reconstructions
from gridcode.domains.audio.networks.make import make_networks
from gridcode.domains.audio.show import save_sheet
from gridcode.errors import GridcodeError
from gridcode.nn.module import count_parameters
from gridcode.tokenizer.domain import Measurement, Outline, Sources
from gridcode.tokenizer.labelled import LabelledDomain, recorded_data
from gridcode.tokenizer.model import Tokenizer
from gridcode.tokenizer.range import seen_range, within_range
from gridcode.training.run import RunOptions

if TYPE_CHECKING:
    from lightning_fabric import Fabric


NETWORKS = {
    "waveform": "one-dimensional convolutions",
    "spectral": "convolutions between a Fourier transform and its inverse",
}
"""What each kind of architecture is made of."""


@final
@dataclass(eq=False)
class AudioDomain(LabelledDomain):
    """Mono waveforms of one rate, of any length that is a multiple of the tokenizer's stride.

    Attributes:
        rate: Samples per second.
    """

    name: ClassVar[str] = "audio"
    rate: int = AudioConfig.rate
    no_classes = " (data.labels=name reads file names)"

    open = staticmethod(open_sounds)
    train_batches = staticmethod(train_batches)
    eval_batches = staticmethod(eval_batches)
    architecture = staticmethod(audio_architecture_from_json)

    def shape(self, data: AudioConfig) -> tuple[int]:
        """Samples."""
        return (data.samples,)

    def make_networks(self, config: AudioArchitectureConfig, latents: int) -> tuple[nn.Module, nn.Module]:
        """See :func:`gridcode.domains.audio.networks.make.make_networks`."""
        return make_networks(config, latents)

    def blocks(self, network: nn.Module) -> Sequence[nn.Module]:
        """The levels."""
        levels = network.levels
        assert isinstance(levels, nn.Sequential)
        return list(levels)

    def encoder_inputs(
        self, config: AudioArchitectureConfig, examples: Tensor, context: Tensor | None
    ) -> tuple[Tensor]:
        """The waveforms, (B, 1, T).

        Raises:
            GridcodeError: They have another rank or several channels, T is no multiple of the stride, or there is a
                context.
        """
        if context is not None:
            raise GridcodeError("a tokenizer of sounds hears sounds alone; give no context")
        if examples.ndim != 3 or examples.shape[1] != 1:
            raise GridcodeError(
                f"the tokenizer takes mono waveforms (B, 1, T), got shape {tuple(examples.shape)}; average the channels"
            )
        config.grid(examples.shape[-1])
        return (examples,)

    def check_range(
        self, config: AudioArchitectureConfig, examples: Tensor, context: Tensor | None, *, check_values: bool
    ) -> None:
        """Refuse integers, and values outside [-1, 1]."""
        if not examples.is_floating_point():
            raise GridcodeError(f"waveforms must be floats in [-1, 1], got {examples.dtype}; 16 bits divide by 32768")
        if check_values and (seen := seen_range(examples)) is not None and not within_range(*seen):
            raise GridcodeError(
                f"waveforms must be in [-1, 1], got {seen[0]:.4g} to {seen[1]:.4g}; divide integers by their largest "
                "value, mend NaN, or clamp"
            )

    def decoded(self, config: AudioArchitectureConfig, outputs: Tensor) -> Tensor:
        """Waveforms in [-1, 1], float32."""
        return outputs.float().clamp(-1, 1)

    def bits_per_second(self, tokenizer: Tokenizer) -> float:
        """The rate of the tokens, each of log2 K bits."""
        tokens: float = self.rate / tokenizer.config.stride * prod(tokenizer.quantizer.index_shape)
        return tokens * log2(tokenizer.codebook_size)

    def outline(self, tokenizer: Tokenizer, run: AudioTokenizerRun, *, bytes_per_value: int) -> Outline:
        """See :class:`Domain`; with the rate in bits per second."""
        plain = super().outline(tokenizer, run, bytes_per_value=bytes_per_value)
        seconds = run.data.crop / run.data.rate
        facts = {"bit rate": f"{self.bits_per_second(tokenizer):,.0f} bits per second", "crop": f"{seconds:.3g} s"}
        beside = ""
        if run.loss.adversarial.active:
            with torch.device("meta"):
                discriminator = make_discriminator(run)
            beside = f"a discriminator of {count_parameters(discriminator):,} parameters"
        return replace(plain, facts=facts, beside=beside)

    def card_rows(self, tokenizer: Tokenizer) -> Mapping[str, str]:
        """See :class:`Domain`."""
        stride, data = tokenizer.config.stride, tokenizer.info.get("data", {})
        sides = "".join(f", {count}" for count in tokenizer.quantizer.index_shape)
        return {
            "networks": NETWORKS[tokenizer.config.name],
            "sounds": f"mono, {self.rate:,} samples per second",
            "downsampling": f"{stride} samples a place",
            "bit rate": f"{self.bits_per_second(tokenizer):,.0f} bits per second",
            "data": f"{tokenizer.info.get('dataset', 'unknown')}, crops of {data.get('crop', '?')} samples",
            "example": f"indices = tokenizer.encode(waveforms)   # (B, 1, T) in [-1, 1] -> (B, 1, T/{stride}{sides})\n"
            "waveforms = tokenizer.decode(indices)",
        }

    def check_data(self, data: AudioConfig) -> None:
        """Refuse sounds of another rate."""
        if data.rate != self.rate:
            raise GridcodeError(f"data.rate={data.rate}, but the tokenizer learned sounds of {self.rate}; leave it out")

    def encode_inputs(self, batch: AudioBatch) -> tuple[Tensor]:
        """The waveforms."""
        return (batch.waveforms,)

    def make_objective(
        self, run: AudioTokenizerRun, tokenizer: Tokenizer, sources: Sources, options: RunOptions, *, fabric: Fabric
    ) -> AudioObjective:
        """See :class:`gridcode.domains.audio.loss.AudioObjective`."""
        return AudioObjective(run, fabric=fabric)

    def measure(self, tokenizer: Tokenizer, batches: Iterable[AudioBatch]) -> Measurement:
        """``mel_distance`` (nats), ``stft_distance`` (dB), ``si_sdr`` (dB), ``usage``, ``perplexity``."""
        found = measure_reconstructions(tokenizer, batches, self.rate)
        scores = {
            "mel_distance": found.mel_distance,
            "stft_distance": found.stft_distance,
            "si_sdr": found.si_sdr,
        }
        return Measurement.of(scores, found.usage, score=-found.mel_distance)

    def save_images(self, path: Path, tokenizer: Tokenizer, batch: AudioBatch) -> None:
        """Spectrograms in a row, those of the reconstructions below."""
        sounds = batch.waveforms
        save_sheet(path, sounds, tokenizer.decode(tokenizer.encode(sounds.to(tokenizer.device))), rate=self.rate)


def data_of(tokenizer: Tokenizer) -> AudioConfig:
    """The :class:`AudioConfig` in the tokenizer's own record.

    Raises:
        GridcodeError: It has none, or one that this version cannot read.
    """
    return recorded_data(tokenizer.info, AudioConfig, nouns="sounds")


DOMAIN = AudioDomain
