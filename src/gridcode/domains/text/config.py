"""What a tokenizer of texts is, what it reads and learns, how results are measured, as frozen values. No torch here.

    bytes (T,) --embedding, convolutions--> latents (d, 1, t), t = T / stride --quantizer--> tokens
    tokens --convolutions--> 256 logits for each byte, all at once

    bits per character of the tokens, at most = tokens per place · log2 |C| / stride

A character is a byte here, as compressors count it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from tyro.conf import arg

from gridcode.data.config import SourceSettings
from gridcode.errors import GridcodeError, check_numbers
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.quantize.config import FSQConfig, QuantizerConfig
from gridcode.tokenizer.config import RowArchitecture, TokenizerSettings

VALUES = 256
"""Values of a byte."""


@dataclass(frozen=True)
class TextConfig(SourceSettings):
    """Which texts to read, how long an example is, and which part of them to hold out.

    >>> TextConfig(source="/home/me/novel.txt").dataset
    'novel.txt'
    """

    source: str = "text.txt"
    """A text file, a folder of them, or either compressed by gzip (.gz). Any bytes are text, also invalid UTF-8."""
    window: int = 64
    """Length of an example in bytes. What a text has left at its end is filled up with zero bytes."""
    val_source: str | None = None
    """Where the validation texts are; without it the end of each of the source's texts is held out."""
    val_fraction: float = 0.05
    """Share of each text, at its end, that is held out for validation, in (0, 1): whole windows that training never
    reads a byte of."""
    on_error: Literal["stop", "skip"] = "stop"
    """At a file that is empty or cannot be read: stop with an error, or skip it and say so."""

    def __post_init__(self) -> None:
        """Refuse what no text can be read with."""
        self.check_source("the path of a folder or file of text")
        check_numbers(self, "data.", counts=("window",))


@dataclass(frozen=True)
class TextTokenizerConfig(RowArchitecture):
    """Residual units of convolutions at the rate of the bytes, and at that of the tokens.

    >>> TextTokenizerConfig(stride=4).grid(64)
    (1, 16)
    """

    domain: ClassVar[str] = "text"
    examples: ClassVar[str] = "texts"
    unit: ClassVar[str] = "bytes"
    advice: ClassVar[str] = "set data.window to a multiple, or fill the text up with zero bytes"

    quantizer: QuantizerConfig = field(default_factory=lambda: FSQConfig(levels=(7, 5, 5, 5, 5)))
    """What turns latents into tokens."""
    stride: int = 2
    """Bytes per token stands for; an even number."""
    width: int = 128
    """Features of a token's place."""
    depth: int = 1
    """Residual units at the rate of the tokens, of the encoder and of the decoder."""
    head: int = 64
    """Features of a byte, on the way in and on the way out."""
    units: int = 2
    """Residual units at the rate of the bytes, of the encoder and of the decoder."""
    kernel: int = 5
    """Taps of the units' convolutions; odd."""

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be built."""
        check_numbers(self, "model.", counts=("width", "head"), not_negative=("depth", "units"))
        if self.stride < 2 or self.stride % 2:
            raise GridcodeError(f"model.stride must be an even number, got {self.stride}")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise GridcodeError(f"model.kernel must be an odd number, got {self.kernel}")


@dataclass(frozen=True)
class TextTokenizerRun(TokenizerSettings):
    """Everything that determines the training of a tokenizer of texts: equal values give equal weights."""

    data: TextConfig = field(default_factory=TextConfig)
    """The texts."""
    model: TextTokenizerConfig = field(default_factory=TextTokenizerConfig)
    """The tokenizer."""
    quantizer_dropout: float = 0.0
    """Share of training examples that pass the quantizer unrounded, each as a whole, in [0, 1]."""

    def __post_init__(self) -> None:
        """Refuse parts that do not fit each other."""
        self.model.grid(self.data.window)
        super().__post_init__()


@dataclass(frozen=True)
class TextEvaluationConfig:
    """What ``gridcode eval`` does with texts."""

    guidance: ClassVar[float] = 0.0
    """Texts have no classes that samples could be guided to."""

    count: int = 1000
    """Validation windows, at most."""
    samples: int = 16
    """Windows to generate."""
    sampler: Annotated[SamplerConfig, arg(name="")] = field(default_factory=SamplerConfig)
    """How grids are filled."""
    batch_size: int = 64
    """Windows at a time."""
    seed: int = 0
    """Seeds the samples."""

    def __post_init__(self) -> None:
        """Refuse counts that measure nothing."""
        check_numbers(self, "evaluation ", counts=("count", "samples", "batch_size"), not_negative=("seed",))
