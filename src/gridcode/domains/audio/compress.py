"""Sounds of any length to small files and back; memory grows with the tokens only.

    sound --gain, blocks--> tokens (1, t) --coder--> bytes
    bytes --coder--> the same tokens --blocks, gain--> sound

The tokens come back exactly, or there is an error (:mod:`gridcode.prior.coding.grid`). A sound is scaled to the
loudness that the tokenizer learned, and the file holds the factor. What the tokens do not hold is lost: channels, which
become their mean, and rates other than the tokenizer's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from gridcode.codec.bitstream import LONGEST, Bitstream, Coder, Sound, parse_stream
from gridcode.domains.audio.config import AudioConfig
from gridcode.domains.audio.data.decode import Recording, Waveform
from gridcode.domains.audio.data.loader import file_gain, gain
from gridcode.domains.audio.domain import AudioDomain, data_of
from gridcode.domains.audio.stream import BLOCK, decode_stream, encode_stream
from gridcode.errors import GridcodeError
from gridcode.prior.base import Prior
from gridcode.prior.coding.grid import GridCoder
from gridcode.prior.make import load_prior, prior_in
from gridcode.tokenizer.model import Tokenizer

_GAIN: Final = 2**16
"""How a gain of 1 is written in a file."""


@dataclass(frozen=True)
class SoundCodec:
    """A tokenizer, perhaps with a prior, that writes and reads files.

    Attributes:
        tokenizer: Of sounds, in evaluation mode.
        prior: Of its tokens; it makes the files smaller, and takes more time than all else.
        coder: What codes the tokens.

    Raises:
        GridcodeError: The prior is of other tokens, or the tokenizer not of sounds.

    >>> from gridcode.domains.audio import AudioDomain, SpectralConfig
    >>> codec = SoundCodec(Tokenizer(SpectralConfig(width=8), AudioDomain(8000)).eval())
    >>> data = codec.compress(np.zeros(1000, np.float32))
    >>> codec.decompress(data).shape
    (1000,)
    """

    tokenizer: Tokenizer
    prior: Prior | None = None
    coder: GridCoder = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse tokenizers of something else, and a prior of other tokens."""
        if not isinstance(self.tokenizer.domain, AudioDomain):
            raise GridcodeError(f"this is a tokenizer of kind {self.tokenizer.domain.name!r}; give one of sounds")
        coder = GridCoder(self.tokenizer.weights_hash(), self.tokenizer.codebook_size, self.prior)
        object.__setattr__(self, "coder", coder)

    @cached_property
    def rate(self) -> int:
        """Samples per second."""
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
        sound = np.asarray(sound)
        if sound.dtype != np.float32 or sound.ndim != 1 or not sound.size:
            raise GridcodeError(f"compress takes float32 samples (T,), got {sound.dtype} {sound.shape}; convert it")
        if not (peak := float(np.abs(sound).max())) <= 1:
            raise GridcodeError(f"compress takes samples in [-1, 1], got {peak:.4g}; scale them, or mend NaN")
        coder = self._usable(coder, len(sound))
        return self._encode([sound], gain(peak) if self._data.normalise else 1.0, coder)[0]

    def compress_file(self, recording: Recording, *, coder: Coder | None = None) -> tuple[bytes, float]:
        """A sound file, read in parts, as bytes; and how many seconds it lasts. See :meth:`compress`.

        The file is read twice where sounds are normalised: its loudest sample must be known first.

        Raises:
            GridcodeError: It cannot be read, it is too long, or the coder cannot be used.
        """
        samples = recording.length(self.rate)
        try:
            coder = self._usable(coder, samples)
        except GridcodeError as error:
            raise GridcodeError(f"{recording.name}: {error}") from None
        data, sound = self._encode(recording.blocks(self.rate), file_gain(recording, self._data), coder)
        return data, sound.samples / self.rate

    def decompress(self, data: bytes | memoryview, *, name: str = "the data") -> Waveform:
        """The sound of bytes, float32 (T,) in [-1, 1]: as long as the one that was compressed.

        Args:
            data: What :meth:`compress` gave.
            name: What to call them in errors: the file's path.

        Raises:
            GridcodeError: They are of another model or damaged.
        """
        sound: Waveform = np.concatenate(list(self.parts(parse_stream(data, name))))
        return sound.clip(-1, 1)

    def parts(self, stream: Bitstream) -> Iterator[Waveform]:
        """The sound of a stream, a part (T_i,) after the other; samples beyond [-1, 1] are to be clipped.

        Raises:
            GridcodeError: It is of another model or damaged.
        """
        sound = self._sound(stream)
        tokens = self.coder.decode(stream, self._grid(sound.samples, stream.header.coder))
        indices, left = torch.from_numpy(tokens)[None], sound.samples
        for piece in decode_stream(self.tokenizer, torch.split(indices, BLOCK, 2)):
            part = piece[0, 0, :left].cpu().numpy() * np.float32(_GAIN / sound.gain)
            left -= len(part)
            if len(part):
                yield part

    @cached_property
    def _data(self) -> AudioConfig:
        return data_of(self.tokenizer) if "data" in self.tokenizer.info else AudioConfig(rate=self.rate)

    def _grid(self, samples: int, coder: Coder) -> tuple[int, ...]:
        """The shape of the tokens of so many samples."""
        places = -(-samples // self.tokenizer.config.stride)
        return (*self.coder.covering((1, places), coder), *self.tokenizer.quantizer.index_shape)

    def _usable(self, coder: Coder | None, samples: int) -> Coder:
        """The coder that is meant, if it can be used for a sound of so many samples."""
        chosen = coder or self.coder.best
        if (grid := self._grid(samples, chosen))[1] > LONGEST:
            hours = LONGEST * self.tokenizer.config.stride / self.rate / 3600
            raise GridcodeError(
                f"a sound of {grid[1]:,} tokens does not fit into one file; cut it, into parts of {hours:.1f} hours"
            )
        return chosen

    def _encode(self, parts: Iterable[Waveform], factor: float, coder: Coder) -> tuple[bytes, Sound]:
        written, samples = round(factor * _GAIN), 0

        def pieces() -> Iterator[Tensor]:
            nonlocal samples
            for part in parts:
                samples += len(part)
                yield torch.from_numpy(part * np.float32(written / _GAIN)).clamp(-1, 1)[None, None]
            short = self._grid(samples, coder)[1] * self.tokenizer.config.stride - samples
            if short > 0:  # up to a prior's window
                yield torch.zeros(1, 1, short)

        tokens = torch.cat([part.cpu() for part in encode_stream(self.tokenizer, pieces())], 2)[0]
        sound = Sound(samples, self.rate, written)
        return self.coder.encode(tokens.numpy(), coder, sound=sound), sound

    def _sound(self, stream: Bitstream) -> Sound:
        """What a stream says of its sound, if it is one of this tokenizer's."""
        sound = stream.header.sound
        if sound is None:
            what = "an image" if stream.header.image else "the tokens of a token store"
            raise GridcodeError(f"{stream.name} holds {what}, not a sound; give the model it was made by")
        self.coder.check(stream)
        if sound.rate != self.rate:
            raise GridcodeError(f"{stream.name} says {sound.rate} samples per second; it is damaged")
        return sound
