"""What a tokenizer of sounds is, what it reads and learns, how results are measured, as frozen values. No torch here.

    waveform (1, T) at ``rate`` --strided convolutions--> latents (d, 1, t), t = T / stride --quantizer--> (1, t) tokens

    bits a second = rate / stride · tokens a place · log2 |C|

Published codecs of this family, and what was taken from each:

===================  =======  ========  ==========================  =====================================
codec                rate     stride    units a level, dilations    activation, weights
===================  =======  ========  ==========================  =====================================
SoundStream (2021)   24 kHz   2·4·5·8   3: 1, 3, 9                  ELU, causal
EnCodec (2022)       24 kHz   2·4·5·8   1: 1                        ELU, weight norm, two LSTM layers
DAC (2023)           44 kHz   2·4·8·8   3: 1, 3, 9                  snake, weight norm, decoder is wider
===================  =======  ========  ==========================  =====================================

Taken: DAC's residual units (dilated 7-tap convolution, pointwise convolution, snake) and its losses on mel spectra of
several windows. Left out: the residual units at the full rate, which cost most of the time on a CPU. The first strided
convolution takes the encoder's place there; the decoder keeps a snake and one convolution of few channels, without
which the images of each frequency that a transposed convolution makes stay in the sound. There is no LSTM, so that the
receptive field is finite and a file of any length can be encoded in parts (:mod:`gridcode.domains.audio.stream`).
Weight norm is left out too: AdamW with warm-up and clipped gradients did not need it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Annotated, ClassVar, Literal, get_args

from tyro.conf import arg

from gridcode.data.config import SourceSettings
from gridcode.errors import GridcodeError, check_choices, check_numbers
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.quantize.config import FSQConfig, QuantizerConfig
from gridcode.tokenizer.config import AdversarialSettings, RowArchitecture, TokenizerSettings

Labels = Literal["auto", "folder", "name", "none"]


@dataclass(frozen=True)
class AudioConfig(SourceSettings):
    """Which sounds to read, their shape in a batch, and which of them to hold out.

    >>> AudioConfig(source="/home/me/digits").dataset
    'digits'
    """

    source: str = "sounds"
    """A folder of sound files (WAV, FLAC, …) or of Parquet files with a column of them, one such file, or one sound."""
    rate: int = 8000
    """Samples a second; files of another rate are resampled."""
    samples: int = 8192
    """Length of an example in evaluation and in token stores: longer sounds give their middle, shorter get zeros."""
    crop: int = 4096
    """Length of a training crop, at a random place; shorter sounds lie at a random place among zeros."""
    normalise: bool = True
    """Whether an example is scaled until its loudest sample is 0.9, by 40 dB at most."""
    labels: Labels = "auto"
    """Where classes come from: the subfolders (folder), the file names up to their first '_' (name), or nowhere
    (none); auto is folder where there are subfolders, else none. Of Parquet the column 'label' unless none."""
    val_source: str | None = None
    """Where the validation sounds are, if not beside or among those of 'source'."""
    val_fraction: float = 0.05
    """Share of the sounds held out for validation where the source has no split of its own, in (0, 1)."""
    seed: int = 0
    """Seed of the choice of held-out sounds."""
    workers: int = 0
    """Processes that decode sounds, at most one a core; 0 decodes in the main process."""
    on_error: Literal["stop", "skip"] = "stop"
    """At a sound that cannot be read: stop with an error, or skip it and say so."""

    def __post_init__(self) -> None:
        """Refuse what no sound can be read with."""
        self.check_source("the path of a folder or file of sounds")
        check_choices(self, "data.", labels=get_args(Labels))
        check_numbers(self, "data.", counts=("rate", "samples", "crop"), not_negative=("seed", "workers"))


@dataclass(frozen=True)
class CodecConfig(RowArchitecture):
    """A convolutional codec: strided convolutions with dilated residual units between them, and the mirror of it.

    >>> CodecConfig(strides=(8, 4, 2)).grid(8192)
    (1, 128)
    """

    domain: ClassVar[str] = "audio"
    examples: ClassVar[str] = "waveforms"
    unit: ClassVar[str] = "samples"
    advice: ClassVar[str] = "set data.samples and data.crop to multiples, or pad with zeros"

    quantizer: QuantizerConfig = field(default_factory=lambda: FSQConfig(levels=(8, 5, 5, 5)))
    """What turns latents into tokens."""
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
class AudioAdversarialConfig(AdversarialSettings):
    """The discriminator of spectrograms, and how it learns.

    The defaults, with ``kind="hinge"``, are EnCodec's game at weights for this loss, whose terms are means and not
    sums over windows. At a width of 16 a step of the laptop recipe takes about three times as long.

    >>> AudioAdversarialConfig().active
    False
    """

    weight: float = 0.03
    """Weight of the tokenizer's side in its loss."""
    features: float = 0.1
    """Weight of the distance of the discriminator's activations in the tokenizer's loss."""
    windows: tuple[int, ...] = (128, 256, 512)
    """Window lengths of the spectrograms that are scored, in samples."""
    width: int = 32
    """Channels of the discriminator."""
    lr: float = 3e-4
    """The discriminator's learning rate, constant."""
    betas: tuple[float, float] = (0.5, 0.9)
    """Adam's decay rates for the discriminator."""
    r1: float = 0.0
    """Cost of the squared gradient norm at real sounds; 0 leaves it out."""

    def __post_init__(self) -> None:
        """Refuse values that cannot train.

        Raises:
            GridcodeError: One is out of its range.
        """
        super().__post_init__()
        check_numbers(self, "loss.adversarial.", counts=("width",), not_negative=("features",))
        if not self.windows or any(window < 8 or window % 4 for window in self.windows):
            raise GridcodeError(f"loss.adversarial.windows must be multiples of 4 from 8 on, got {self.windows}")


@dataclass(frozen=True)
class AudioLossConfig:
    """Stage I's loss: the weights of its terms, and the windows of the spectra that are compared."""

    l1: float = 1.0
    """Weight of the mean absolute error of samples."""
    stft: float = 0.5
    """Weight of the STFT loss: log magnitude and spectral convergence, the mean over ``windows``."""
    mel: float = 1.0
    """Weight of the mean absolute difference of log-mel spectra, the mean over ``mel_windows``."""
    windows: tuple[int, ...] = (128, 256, 512, 1024)
    """Window lengths of the STFT loss, in samples; a window moves by a quarter of itself."""
    mel_windows: tuple[int, ...] = (256, 512, 1024)
    """Window lengths of the mel spectra, in samples."""
    mels: tuple[int, ...] = (20, 40, 80)
    """Mel bands at each of ``mel_windows``."""
    floor: float = 1e-3
    """Magnitude that is added before the logarithm, where a sine of full scale has 0.5: what lies below is silence."""
    adversarial: AudioAdversarialConfig = field(default_factory=AudioAdversarialConfig)
    """A discriminator's opinion."""

    def __post_init__(self) -> None:
        """Refuse a loss of nothing, and windows that cannot be."""
        check_numbers(self, "loss.", positive=("floor",), not_negative=("l1", "stft", "mel"))
        if not self.l1 + self.stft + self.mel > 0:
            raise GridcodeError("loss weights must not all be 0; give loss.l1, loss.stft or loss.mel")
        if len(self.mel_windows) != len(self.mels):
            raise GridcodeError(
                f"loss.mels needs one number for each of loss.mel_windows, got {self.mels} and {self.mel_windows}"
            )
        windows = (*self.windows, *self.mel_windows)
        if any(window < 8 or window % 4 for window in windows) or (self.stft and not self.windows):
            raise GridcodeError(f"loss.windows and loss.mel_windows must be multiples of 4 from 8 on, got {windows}")
        if min(self.mels, default=1) < 1 or (self.mel and not self.mels):
            raise GridcodeError(f"loss.mels must be positive, got {self.mels}")


@dataclass(frozen=True)
class AudioTokenizerRun(TokenizerSettings):
    """Everything that determines the training of a tokenizer of sounds: equal values give equal weights."""

    data: AudioConfig = field(default_factory=AudioConfig)
    """The sounds."""
    model: CodecConfig = field(default_factory=CodecConfig)
    """The tokenizer."""
    quantizer_dropout: float = 0.0
    """Share of training sounds that pass the quantizer unrounded, each as a whole, in [0, 1]."""
    loss: AudioLossConfig = field(default_factory=AudioLossConfig)
    """The loss."""

    def __post_init__(self) -> None:
        """Refuse parts that do not fit each other."""
        self.model.grid(self.data.samples)
        self.model.grid(self.data.crop)
        judged = self.loss.adversarial.windows if self.loss.adversarial.active else ()
        longest = max((*self.loss.windows, *self.loss.mel_windows, *judged), default=1)
        if self.data.crop < longest:
            raise GridcodeError(f"data.crop={self.data.crop} is shorter than a window of the loss, {longest} samples")
        super().__post_init__()


@dataclass(frozen=True)
class AudioEvaluationConfig:
    """What ``gridcode eval`` does with sounds."""

    count: int = 1000
    """Validation sounds, at most."""
    samples: int = 200
    """Sounds to generate."""
    sampler: Annotated[SamplerConfig, arg(name="")] = field(default_factory=SamplerConfig)
    """How grids are filled."""
    guidance: float = 0.2
    """Classifier-free guidance scale; 0 turns it off."""
    batch_size: int = 50
    """Sounds at a time."""
    seed: int = 0
    """Seeds the samples and the classifier."""
    classifier_steps: int = 400
    """Training steps of the small classifier of log-mel spectra that recognises sounds, where they have classes."""

    def __post_init__(self) -> None:
        """Refuse counts that measure nothing."""
        check_numbers(
            self,
            "evaluation ",
            counts=("count", "samples", "batch_size", "classifier_steps"),
            not_negative=("guidance", "seed"),
        )
