"""The shapes of tokenizers of sounds: what every one has, convolutions on waveforms, and networks on spectra. No torch.

    waveform (1, T) --encoder--> latents (d, 1, t), t = T / stride --quantizer--> (1, t) tokens

    bits per second = rate / stride · tokens per place · log2 |C|

Published codecs of this family, and what was taken from each:

===================  =======  ========  ==========================  =====================================
codec                rate     stride    units a level, dilations    activation, weights
===================  =======  ========  ==========================  =====================================
SoundStream (2021)   24 kHz   2·4·5·8   3: 1, 3, 9                  ELU, causal
EnCodec (2022)       24 kHz   2·4·5·8   1: 1                        ELU, weight norm, two LSTM layers
DAC (2023)           44 kHz   2·4·8·8   3: 1, 3, 9                  snake, weight norm, decoder is wider
Vocos (2023)         24 kHz   256       8 blocks, one rate          GELU; magnitudes and phases of a spectrum
===================  =======  ========  ==========================  =====================================

``waveform`` has DAC's residual units (dilated 7-tap convolution, pointwise convolution, snake). Left out: the residual
units at the full rate, which cost most of the time on a CPU. The first strided convolution takes the encoder's place
there; the decoder keeps a snake and one convolution of few channels, without which the images of each frequency that a
transposed convolution makes stay in the sound. There is no LSTM, so that the receptive field is finite and a file of
any length can be encoded in parts (:mod:`gridcode.domains.audio.stream`). Weight norm is left out too: AdamW with
warm-up and clipped gradients did not need it.

``spectral`` has Vocos's decoder, and its mirror as encoder: all layers work at the tokens' rate, between a short-time
Fourier transform and its inverse. A formant is then a row of numbers and not a pattern of samples that the layers must
draw: it learns several times as much in the same time.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Annotated, Any, ClassVar, Literal, get_args

from tyro.conf import Suppress

from gridcode.errors import GridcodeError, check_numbers
from gridcode.quantize.config import FSQConfig, QuantizerConfig
from gridcode.tokenizer.config import RowArchitecture, architecture_of


@dataclass(frozen=True)
class AudioArchitecture(RowArchitecture):
    """The shape of a tokenizer of sounds."""

    domain: ClassVar[str] = "audio"
    examples: ClassVar[str] = "waveforms"
    unit: ClassVar[str] = "samples"
    advice: ClassVar[str] = "set data.samples and data.crop to multiples, or pad with zeros"

    name: Annotated[str, Suppress] = field(init=False)
    """The kind."""
    quantizer: QuantizerConfig = field(default_factory=lambda: FSQConfig(levels=(8, 5, 5, 5)))
    """What turns latents into tokens."""

    @classmethod
    @abstractmethod
    def like(cls, other: AudioArchitecture) -> AudioArchitecture:
        """This kind at its defaults, with the quantizer of another, and its stride if that is a setting."""

    @property
    @abstractmethod
    def context(self) -> int:
        """Places on either side that a token, or a place's samples, can depend on."""


@dataclass(frozen=True)
class WaveformConfig(AudioArchitecture):
    """Convolutions on waveforms: strided convolutions with dilated residual units between them, and the mirror of it.

    >>> WaveformConfig(strides=(8, 4, 2)).grid(8192)
    (1, 128)
    """

    name: Annotated[Literal["waveform"], Suppress] = field(default="waveform", init=False)
    strides: tuple[int, ...] = (8, 4, 2)
    """Factors by which the encoder's levels shorten, first to last; even numbers."""
    widths: tuple[int, ...] = (48, 96, 160)
    """Channels of each level."""
    dilations: tuple[int, ...] = (1, 3)
    """Dilations of the residual units of each level."""
    kernel: int = 7
    """Taps of a residual unit's dilated convolution, and of the decoder's last one; odd."""
    head: int = 16
    """Channels at the full rate, before the decoder's last convolution."""

    @classmethod
    def like(cls, other: AudioArchitecture) -> WaveformConfig:
        """This kind at its defaults, with the quantizer of another; its stride is its own."""
        return cls(quantizer=other.quantizer)

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be built."""
        if not self.strides or len(self.strides) != len(self.widths):
            raise GridcodeError(
                f"model.strides and model.widths need one number a level, got {self.strides} and {self.widths}"
            )
        if min(self.strides) < 2 or any(stride % 2 for stride in self.strides):
            raise GridcodeError(f"model.strides must be even numbers, got {self.strides}")
        check_numbers(self, "model.", counts=("head",))
        if min(self.widths) < 1 or min(self.dilations, default=1) < 1:
            raise GridcodeError(
                f"model.widths and model.dilations must be positive, got {self.widths} and {self.dilations}"
            )
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise GridcodeError(f"model.kernel must be an odd number, got {self.kernel}")

    @property
    def stride(self) -> int:
        """Samples a place of the token grid stands for."""
        return prod(self.strides)

    @property
    def context(self) -> int:
        """Places on either side that a token, or a place's samples, can depend on."""
        reach, step = self.kernel // 2, 1
        for stride in self.strides:
            reach += step * stride  # a kernel of two strides
            step *= stride
            reach += step * sum(dilation * (self.kernel // 2) for dilation in self.dilations)
        return -(-(reach + step) // step) + 1


@dataclass(frozen=True)
class SpectralConfig(AudioArchitecture):
    """Networks at the tokens' rate, between a short-time Fourier transform and its inverse.

    >>> SpectralConfig(hop=64).grid(8192)
    (1, 128)
    """

    name: Annotated[Literal["spectral"], Suppress] = field(default="spectral", init=False)
    hop: int = 64
    """Samples a place of the token grid stands for, by which a window moves; an even number."""
    window: int = 256
    """Length of a window of the transforms, in samples: a multiple of twice the hop."""
    width: int = 192
    """Channels of the blocks."""
    encoder_blocks: int = 4
    """Blocks of the encoder."""
    decoder_blocks: int = 4
    """Blocks of the decoder."""
    kernel: int = 7
    """Taps of a block's convolution over time; odd."""

    @classmethod
    def like(cls, other: AudioArchitecture) -> SpectralConfig:
        """This kind at its defaults, with the quantizer and the stride of another."""
        return cls(quantizer=other.quantizer, hop=other.stride, window=4 * other.stride)

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be built."""
        check_numbers(self, "model.", counts=("width", "encoder_blocks", "decoder_blocks"))
        if self.hop < 2 or self.hop % 2:
            raise GridcodeError(f"model.hop must be an even number, got {self.hop}")
        if self.window < 2 * self.hop or self.window % (2 * self.hop):
            raise GridcodeError(f"model.window must be a multiple of {2 * self.hop}, twice the hop, got {self.window}")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise GridcodeError(f"model.kernel must be an odd number, got {self.kernel}")

    @property
    def stride(self) -> int:
        """Samples a place of the token grid stands for: the hop."""
        return self.hop

    @property
    def context(self) -> int:
        """Places on either side that a token, or a place's samples, can depend on."""
        windows = -(-(self.window - self.hop) // (2 * self.hop))
        return windows + 1 + max(self.encoder_blocks, self.decoder_blocks) * (self.kernel // 2)


AudioArchitectureConfig = WaveformConfig | SpectralConfig
"""Any tokenizer's shape."""

AUDIO_ARCHITECTURES: dict[str, type[AudioArchitectureConfig]] = {
    kind.name: kind for kind in get_args(AudioArchitectureConfig)
}
"""The kinds by name, in the order they are listed to a person."""


def audio_architecture_from_json(values: Mapping[str, Any]) -> AudioArchitectureConfig:
    """The shape that ``dataclasses.asdict`` made plain, read from JSON: see :func:`architecture_of`."""
    return architecture_of(AUDIO_ARCHITECTURES, values)
