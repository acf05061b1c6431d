"""What a tokenizer of sounds reads and learns, and how results are measured, as frozen values. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal, get_args

from tyro.conf import arg

from gridcode.data.config import SourceSettings
from gridcode.domains.audio.architectures import AudioArchitectureConfig, WaveformConfig
from gridcode.errors import GridcodeError, check_choices, check_numbers
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.tokenizer.config import AdversarialSettings, TokenizerSettings

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
    """Samples per second; files of another rate are resampled."""
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
class AudioAdversarialConfig(AdversarialSettings):
    """The discriminator of spectrograms, and how it learns.

    The defaults, with ``kind="hinge"``, are EnCodec's game at weights for this loss, whose terms are means and not
    sums over windows. At a width of 16 a step of the laptop recipe takes about four times as long.

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
    model: AudioArchitectureConfig = field(default_factory=WaveformConfig)
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
