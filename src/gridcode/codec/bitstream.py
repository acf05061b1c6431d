"""The file around coded tokens: what they are, how they are coded, and checksums. It knows no model.

    magic 93 47 43 0a · version · flags · numbers of the header · sections · lengths of the blocks · CRC-32 of all that
    block 1 · … · block n          each: payload · CRC-32 of the payload
    nothing more

An image's or a sound's tokens are one example in one block; a token store has many examples, in blocks that can be
read alone.
Every number is in base 128 (``numbers.py``) and has an upper bound, and nothing is allocated by a number of the file
before the bytes that it speaks of are known to be there, so that memory is bounded by the file's size; how many tokens
a decoder will allocate is up to whoever asks for them (:meth:`Header.check_tokens`). What is damaged, cut short, longer
than it says, or of another version is refused in one line.

Checksums are CRC-32 (zlib's, of Ethernet and PNG) because Python has it; CRC-32C would need one more package. The
checksum in each block's payload is of the tokens themselves: bytes that decode to other tokens, by other probabilities,
are an error (but for one in 2^32) and not a wrong image.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from gridcode.codec.numbers import Numbers, number
from gridcode.errors import GridcodeError

MAGIC: Final = b"\x93GC\n"
"""Begins every stream; not UTF-8, and changed where a transfer changes line ends."""
VERSION: Final = 1
"""What this gridcode writes, and the newest that it reads."""

Coder: TypeAlias = Literal["raw", "static", "prior"]
CODERS: Final[tuple[Coder, ...]] = get_args(Coder)

LONGEST: Final = 2**20
"""Places along a side of a grid, at most."""
_EXAMPLES, _SECTION, _SAMPLES = 2**40, 2**40, 2**40


@dataclass(frozen=True)
class ImageSize:
    """The image that the tokens are of; it was drawn out at its right and lower edge to whole tokens.

    Attributes:
        height: Pixels.
        width: Pixels.
        channels: 1 for grey, 3 for RGB.
    """

    height: int
    width: int
    channels: int


@dataclass(frozen=True)
class Sound:
    """The sound that the tokens are of; zeros behind it fill the last token.

    Attributes:
        samples: How many.
        rate: Samples per second.
        gain: What they were multiplied by before they became tokens, in 1/65536.
    """

    samples: int
    rate: int
    gain: int


@dataclass(frozen=True)
class PriorCoding:
    """How a prior gave the probabilities.

    Attributes:
        prior: The hash of its weights.
        steps: Steps in which a grid was uncovered, at most.
        batch: Grids that went through it at a time; a batch of fewer is filled up.
    """

    prior: str
    steps: int
    batch: int


@dataclass(frozen=True)
class Header:
    """What the tokens are.

    Attributes:
        coder: How they are coded.
        model: The hash of the tokenizer's weights.
        codes: K; tokens lie in [0, K).
        grid: Of one example, (h, w) or (h, w, q).
        examples: How many.
        block: Examples in a block; the last may have fewer.
        image: What they are the tokens of, if it is an image.
        coding: The prior's part, where one codes.
        table: Of the coder ``static``, the histogram.
        about: More about the examples, for whoever knows what.
        sound: What they are the tokens of, if it is a sound.
    """

    coder: Coder
    model: str
    codes: int
    grid: tuple[int, ...]
    examples: int = 1
    block: int = 1
    image: ImageSize | None = None
    coding: PriorCoding | None = None
    table: bytes = b""
    about: bytes = b""
    sound: Sound | None = None

    @property
    def tokens(self) -> int:
        """Of one example, N."""
        return prod(self.grid)

    @property
    def blocks(self) -> int:
        """How many."""
        return -(-self.examples // self.block)

    def examples_of(self, block: int) -> range:
        """The numbers of a block's examples."""
        return range(block * self.block, min((block + 1) * self.block, self.examples))

    def check_tokens(self, most: int, what: str) -> None:
        """Refuse a block of more tokens than a reader wants to allocate.

        Args:
            most: Tokens, at most.
            what: What to call the stream.

        Raises:
            GridcodeError: There are more.
        """
        count = self.tokens * min(self.block, self.examples)
        if count > most:
            raise GridcodeError(f"{what} claims {count:,} tokens in a block, and the limit is {most:,}; it is damaged")


@dataclass(frozen=True)
class Bitstream:
    """A parsed stream.

    Attributes:
        header: What the tokens are.
        starts: Where each block begins in the data, and the last one's end.
        data: The whole stream.
        name: What to call it in errors.
    """

    header: Header
    starts: tuple[int, ...]
    data: memoryview
    name: str

    def payload(self, block: int) -> bytes:
        """A block's coded tokens.

        Raises:
            GridcodeError: Its checksum is wrong, or there is no such block.
        """
        if not 0 <= block < self.header.blocks:
            raise GridcodeError(f"{self.name} has the blocks 0 … {self.header.blocks - 1}, not {block}")
        start, end = self.starts[block], self.starts[block + 1]
        return _checked(self.data[start:end], f"block {block} of {self.name}")

    def payloads(self) -> Iterator[bytes]:
        """Every block's, in order."""
        return (self.payload(block) for block in range(self.header.blocks))


def pack_stream(header: Header, payloads: Sequence[bytes]) -> bytes:
    r"""A whole stream.

    Args:
        header: What the tokens are.
        payloads: Of every block.

    >>> stream = parse_stream(pack_stream(Header("raw", "0" * 16, 8, (2, 2)), [b"\x00\x01"]), "example")
    >>> stream.header.grid, stream.payload(0)
    ((2, 2), b'\x00\x01')
    """
    assert len(payloads) == header.blocks
    return pack_head(header, [len(payload) for payload in payloads]) + b"".join(map(with_checksum, payloads))


def pack_head(header: Header, lengths: Sequence[int]) -> bytes:
    """All that comes before the first block, where the payloads are of these lengths."""
    image, coding, sound = header.image, header.coding, header.sound
    flags = (image is not None) | (coding is not None) << 1 | (sound is not None) << 2
    parts = [MAGIC, bytes([VERSION, flags, CODERS.index(header.coder)]), bytes.fromhex(header.model)]
    numbers = [header.codes, len(header.grid), *header.grid, header.examples, header.block]
    if image is not None:
        numbers += [image.height, image.width, image.channels]
    if sound is not None:
        numbers += [sound.samples, sound.rate, sound.gain]
    parts += map(number, numbers)
    if coding is not None:
        parts += [bytes.fromhex(coding.prior), number(coding.steps), number(coding.batch)]
    for section in (header.table, header.about):
        parts += [number(len(section)), section]
    return with_checksum(b"".join([*parts, *map(number, lengths)]))


def parse_stream(data: bytes | memoryview, name: str) -> Bitstream:
    """Read the header of a stream, strictly; blocks are checked when they are asked for.

    Args:
        data: The whole stream, in memory or mapped into it.
        name: What to call it in errors: the file's path.

    Raises:
        GridcodeError: It is another file, of a newer version, damaged, cut short, or longer than it says.
    """
    view = memoryview(data)
    if len(view) < len(MAGIC) + 1 or bytes(view[: len(MAGIC)]) != MAGIC:
        raise GridcodeError(f"{name} is no file of gridcode compress; give one, such as photo.gc")
    if view[len(MAGIC)] != VERSION:
        raise GridcodeError(f"{name} has version {view[len(MAGIC)]}, this gridcode reads {VERSION}; upgrade gridcode")
    numbers = Numbers(view, name, start=len(MAGIC) + 1)
    header = _header(numbers)
    starts, total = [], 0
    for _ in range(header.blocks):  # each takes a byte at least, so a claim of too many ends with the data
        starts.append(total)
        total += numbers.take(most=len(view), what="length of a block") + 4
    _checked(view[: numbers.place + 4], f"the header of {name}")
    first = numbers.place + 4
    if first + total != len(view):
        raise GridcodeError(
            f"{name} has {len(view):,} bytes, its header says {first + total:,}; it is damaged, get it again"
        )
    return Bitstream(header, (*(first + start for start in starts), len(view)), view, name)


def _header(numbers: Numbers) -> Header:
    """The header's fields, each within its bounds."""
    flags, coder = numbers.bytes(2)
    if flags > 7 or flags & 5 == 5 or coder >= len(CODERS) or bool(flags & 2) != (CODERS[coder] == "prior"):
        raise GridcodeError(f"{numbers.owner} says flags {flags} and coder {coder}; it is damaged")
    model = numbers.bytes(8).hex()
    codes = numbers.take(least=1, most=2**63, what="codes")
    rank = numbers.take(least=1, most=3, what="rank of the grid")
    grid = tuple(numbers.take(least=1, most=LONGEST, what="side of the grid") for _ in range(rank))
    examples = numbers.take(least=1, most=_EXAMPLES, what="examples")
    block = numbers.take(least=1, most=examples, what="examples in a block")
    image = coding = sound = None
    if flags & 1:
        height, width = (numbers.take(least=1, most=LONGEST, what="side of the image") for _ in range(2))
        channels = numbers.take(least=1, most=3, what="channels")
        if channels == 2:
            raise GridcodeError(f"{numbers.owner} says an image of 2 channels, but they are 1 or 3; it is damaged")
        image = ImageSize(height, width, channels)
    if flags & 4:
        samples = numbers.take(least=1, most=_SAMPLES, what="samples")
        rate = numbers.take(least=1, most=2**24, what="rate")
        sound = Sound(samples, rate, numbers.take(least=1, most=2**24, what="gain"))
    if flags & 2:
        prior = numbers.bytes(8).hex()
        steps = numbers.take(least=1, most=2**16, what="steps")
        coding = PriorCoding(prior, steps, numbers.take(least=1, most=2**12, what="batch"))
    table, about = (numbers.bytes(numbers.take(most=_SECTION, what="length of a section")) for _ in range(2))
    return Header(CODERS[coder], model, codes, grid, examples, block, image, coding, table, about, sound)


def with_checksum(data: bytes) -> bytes:
    """Bytes and their CRC-32, little-endian."""
    return data + zlib.crc32(data).to_bytes(4, "little")


def _checked(data: memoryview, what: str) -> bytes:
    """The bytes before a CRC-32.

    Raises:
        GridcodeError: It is another one's.
    """
    body = bytes(data[:-4])
    if len(data) < 4 or zlib.crc32(body) != int.from_bytes(data[-4:], "little"):
        raise GridcodeError(f"{what} is damaged, its checksum is wrong; get it again")
    return body


def seal(tokens: NDArray[np.int64], coded: bytes) -> bytes:
    """A block's payload: the checksum of its tokens, then the tokens as they were coded.

    Args:
        tokens: int64, of any shape.
        coded: What a coder made of them.
    """
    return _tokens_checksum(tokens) + coded


def coded_part(payload: bytes) -> bytes:
    """The coder's part of a payload.

    Raises:
        GridcodeError: It is too short to have one.
    """
    if len(payload) < 4:
        raise GridcodeError("a block is too short for its checksum; the stream is damaged")
    return payload[4:]


def check_seal(payload: bytes, tokens: NDArray[np.int64], what: str) -> None:
    """Refuse tokens that are not those that were coded.

    Raises:
        GridcodeError: They are others.
    """
    if payload[:4] != _tokens_checksum(tokens):
        raise GridcodeError(
            f"{what} does not decode to the tokens that were coded: the model's probabilities here are not those of "
            "the encoder, or the stream was tampered with"
        )


def _tokens_checksum(tokens: NDArray[np.int64]) -> bytes:
    return zlib.crc32(np.ascontiguousarray(tokens, "<i8").tobytes()).to_bytes(4, "little")
