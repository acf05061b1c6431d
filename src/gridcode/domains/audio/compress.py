"""Sounds of any length to small files and back, in memory that the tokens alone grow.

    sound --gain, blocks--> tokens (1, t) --coder--> bytes
    bytes --coder--> the same tokens --blocks, gain--> sound

The tokens come back exactly, or there is an error (:mod:`gridcode.prior.coding.grid`). A sound is scaled to the
loudness that the tokenizer learned, and the file holds the factor. What the tokens do not hold is lost: channels, which
become their mean, and rates other than the tokenizer's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from gridcode.codec.bitstream import LONGEST, Bitstream, Coder, Sound, parse_stream
from gridcode.domains.audio.config import AudioConfig
from gridcode.domains.audio.data.decode import Recording, Waveform
from gridcode.domains.audio.data.loader import gain
from gridcode.domains.audio.domain import AudioDomain, data_of
from gridcode.domains.audio.stream import decode_stream, encode_stream
from gridcode.errors import GridcodeError
from gridcode.prior.base import Prior
from gridcode.prior.coding.grid import GridCoder
from gridcode.prior.make import load_prior, prior_in
from gridcode.tokenizer.model import Tokenizer

_GAIN: Final = 2**16
"""What a gain of 1 is in a file."""
_AT_ONCE: Final = 1024
"""Tokens that are decoded at a time."""


@dataclass(frozen=True)
class SoundCodec:
    """A tokenizer, perhaps with a prior, that writes and reads files.

    Attributes:
        tokenizer: Of sounds, in evaluation mode.
        prior: Of its tokens; it makes the files smaller, and takes more time than all else.

    Raises:
        GridcodeError: The prior is of other tokens.

    >>> from gridcode.domains.audio import AudioDomain, SpectralConfig
    >>> codec = SoundCodec(Tokenizer(SpectralConfig(width=8), AudioDomain(8000)).eval())
    >>> data = codec.compress(np.zeros(1000, np.float32))
    >>> codec.decompress(data).shape
    (1000,)
    """

    tokenizer: Tokenizer
    prior: Prior | None = None

    def __post_init__(self) -> None:
        """Refuse tokenizers of something else, and a prior of other tokens."""
        if not isinstance(self.tokenizer.domain, AudioDomain):
            raise GridcodeError(f"this is a tokenizer of kind {self.tokenizer.domain.name!r}; give one of sounds")
        assert self.coder

    @cached_property
    def coder(self) -> GridCoder:
        """What codes the tokens."""
        return GridCoder(self.tokenizer.weights_hash(), self.tokenizer.codebook_size, self.prior)

    @cached_property
    def rate(self) -> int:
        """Samples a second."""
        assert isinstance(self.tokenizer.domain, AudioDomain)
        return self.tokenizer.domain.rate

    @classmethod
    def from_pretrained(cls, source: str | Path, *, device: str | torch.device = "cpu") -> SoundCodec:
        """Load a codec.

        Args:
            source: A folder that holds ``tokenizer/`` and perhaps ``prior/``; or a tokenizer's folder or hub id.
            device: Where the weights go.

        Raises:
            GridcodeError: Nothing usable is at ``source``, or the prior and the tokenizer do not belong together.
        """
        folder = Path(source)
        if not (folder / "tokenizer").is_dir():
            return cls(Tokenizer.from_pretrained(source, device=device))
        place = prior_in(folder)
        prior = None if place is None else load_prior(place, device=device)
        return cls(Tokenizer.from_pretrained(folder / "tokenizer", device=device), prior)

    def compress(self, sound: Waveform, *, coder: Coder | None = None) -> bytes:
        """A sound as bytes.

        Args:
            sound: float32 in [-1, 1], (T,), at the tokenizer's rate.
            coder: ``raw`` packs the tokens; ``static`` codes them by how often each occurs, and ships the table;
                ``prior`` codes them by the prior's probabilities, without a class. By default ``prior`` where there is
                one, else ``raw``.

        Raises:
            GridcodeError: It is no sound, it is too long, or the coder cannot be used.
        """
        if sound.dtype != np.float32 or sound.ndim != 1 or not sound.size:
            raise GridcodeError(f"compress takes float32 samples (T,), got {sound.dtype} {sound.shape}; convert it")
        if not (peak := float(np.abs(sound).max())) <= 1:
            raise GridcodeError(f"compress takes samples in [-1, 1], got {peak:.4g}; scale them, or mend NaN")
        return self._encode([sound], peak, coder)[0]

    def compress_file(self, recording: Recording, *, coder: Coder | None = None) -> tuple[bytes, float]:
        """A sound file, read in parts, as bytes; and how many seconds it lasts. See :meth:`compress`.

        The file is read twice where sounds are normalised: its loudest sample must be known first.

        Raises:
            GridcodeError: It cannot be read, it is too long, or the coder cannot be used.
        """
        rate = self.rate
        peak = max(float(np.abs(part).max()) for part in recording.blocks(rate)) if self._data.normalise else 0.0
        data, sound = self._encode(recording.blocks(rate), peak, coder)
        return data, sound.samples / rate

    def decompress(self, data: bytes | memoryview, *, name: str = "the data") -> Waveform:
        """The sound of bytes, float32 (T,) in [-1, 1]: as long as the one that was compressed.

        Args:
            data: What :meth:`compress` gave.
            name: What to call them in errors: the file's path.

        Raises:
            GridcodeError: They are of another model or damaged.
        """
        return np.concatenate(list(self.parts(parse_stream(data, name))))

    def parts(self, stream: Bitstream) -> Iterator[Waveform]:
        """The sound of a stream, a part (T_i,) after the other.

        Raises:
            GridcodeError: It is of another model or damaged.
        """
        sound = self._sound(stream)
        tokens = self.coder.decode(stream, self._grid(sound.samples, stream.header.coder))
        indices, left = torch.from_numpy(tokens)[None], sound.samples
        for piece in decode_stream(self.tokenizer, torch.split(indices, _AT_ONCE, 2)):
            part = piece[0, 0, :left].cpu().numpy() * np.float32(_GAIN / sound.gain)
            left -= len(part)
            if len(part):
                yield np.clip(part, -1, 1)

    @cached_property
    def _data(self) -> AudioConfig:
        return data_of(self.tokenizer) if "data" in self.tokenizer.info else AudioConfig(rate=self.rate)

    def _grid(self, samples: int, coder: Coder) -> tuple[int, ...]:
        """The shape of the tokens of so many samples."""
        places = -(-samples // self.tokenizer.config.stride)
        return (*self.coder.covering((1, places), coder), *self.tokenizer.quantizer.index_shape)

    def _encode(self, parts: Iterable[Waveform], peak: float, coder: Coder | None) -> tuple[bytes, Sound]:
        coder = coder or self.coder.best
        factor = round(gain(peak) * _GAIN) if self._data.normalise else _GAIN
        most, samples = LONGEST * self.tokenizer.config.stride, 0

        def pieces() -> Iterator[Tensor]:
            nonlocal samples
            for part in parts:
                samples += len(part)
                if samples > most:
                    raise GridcodeError(
                        f"a sound of more than {most / self.rate / 3600:.1f} hours does not fit into one file; cut it"
                    )
                yield torch.from_numpy(part * np.float32(factor / _GAIN)).clamp(-1, 1)[None, None]
            short = self._grid(samples, coder)[1] * self.tokenizer.config.stride - samples
            if short > 0:  # up to a prior's window
                yield torch.zeros(1, 1, short)

        tokens = torch.cat([part.cpu() for part in encode_stream(self.tokenizer, pieces())], 2)[0]
        sound = Sound(samples, self.rate, factor)
        return self.coder.encode(tokens.numpy(), coder, sound=sound), sound

    def _sound(self, stream: Bitstream) -> Sound:
        """What a stream says of its sound, if it is one of this tokenizer's."""
        header = stream.header
        if header.sound is None:
            raise GridcodeError(f"{stream.name} holds no sound; give the model it was made by")
        if header.model != self.coder.tokenizer:
            raise GridcodeError(
                f"{stream.name} was made by tokenizer {header.model}, this one is {self.coder.tokenizer}; give the "
                "model it was made by"
            )
        if header.sound.rate != self.rate:
            raise GridcodeError(f"{stream.name} says {header.sound.rate} samples a second; it is damaged")
        return header.sound
