"""Compressed files that are damaged, made up, or made by a hand that knows the checksums.

Each is decoded as it was meant, or refused in one line.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest
import torch

from gridcode.codec import PriorCoding, pack_stream, parse_stream
from gridcode.domains.audio import AudioDomain, SoundCodec, SpectralConfig
from gridcode.domains.image import TokenizerConfig
from gridcode.domains.image.compress import Codec
from gridcode.errors import GridcodeError
from gridcode.prior.config import MaskGITConfig, TokenSpace
from gridcode.prior.maskgit import MaskGIT
from gridcode.quantize.config import FSQConfig
from gridcode.tokenizer.model import Tokenizer


@cache
def codec() -> Codec:
    torch.manual_seed(0)
    config = TokenizerConfig(quantizer=FSQConfig((5, 4)), widths=(8, 8), encoder_blocks=1, decoder_blocks=1)
    tokenizer = Tokenizer(config).eval()
    space = TokenSpace(20, (3, 3), classes=(), tokenizer=tokenizer.weights_hash(), data={}, levels=(5, 4))
    return Codec.of(tokenizer, MaskGIT(MaskGITConfig(width=8, depth=1, heads=1, mlp=8), space).eval())


@cache
def sound_codec() -> SoundCodec:
    torch.manual_seed(0)
    config = SpectralConfig(FSQConfig((5, 4)), hop=8, window=16, width=8, encoder_blocks=1, decoder_blocks=1)
    tokenizer = Tokenizer(config, AudioDomain(8000)).eval()
    space = TokenSpace(20, (1, 2), classes=(), tokenizer=tokenizer.weights_hash(), data={}, levels=(5, 4))
    return SoundCodec(tokenizer, MaskGIT(MaskGITConfig(width=8, depth=1, heads=1, mlp=8), space).eval())


@cache
def whole() -> tuple[tuple[bytes, bytes], ...]:
    """Streams of all coders, and the pixels or the samples they decode to."""
    draw = np.random.default_rng(0)
    picture = draw.integers(0, 256, (9, 7, 3), dtype=np.uint8)
    sound = draw.uniform(-0.5, 0.5, 20).astype(np.float32)
    found = []
    for coder in ("raw", "static", "prior"):
        data = codec().compress(picture, coder=coder)
        found.append((data, codec().decompress(data).tobytes()))
        data = sound_codec().compress(sound, coder=coder)
        found.append((data, sound_codec().decompress(data).tobytes()))
    return tuple(found)


def damaged(draw: np.random.Generator) -> bytes:
    """A stream of which some bytes were changed, cut, doubled or put in."""
    data = bytearray(whole()[draw.integers(6)][0])
    for _ in range(draw.integers(0, 4)):
        place = int(draw.integers(len(data) + 1))
        match draw.integers(4):
            case 0 if place < len(data):
                data[place] ^= int(draw.integers(1, 256))
            case 1:
                data[place:place] = draw.bytes(int(draw.integers(1, 5)))
            case 2:
                del data[place : place + int(draw.integers(1, 9))]
            case _:
                data += data[place : place + 8]
    return bytes(data)


def random_bytes(draw: np.random.Generator) -> bytes:
    """Any bytes, often behind the right beginning."""
    data = draw.bytes(int(draw.integers(0, 120)))
    return whole()[0][0][: draw.integers(0, 30)] + data if draw.random() < 0.8 else data


def with_right_checksums(draw: np.random.Generator) -> bytes:
    """A stream with another header or other coded bytes, whose checksums are right, but for that of the tokens."""
    stream = parse_stream(whole()[draw.integers(6)][0], "")
    header, payload = stream.header, bytearray(stream.payload(0))
    size = int(2 ** draw.integers(0, 21))
    match draw.integers(6):
        case 0 if header.image is not None:
            header = replace(header, image=replace(header.image, height=size))
        case 0 if header.sound is not None:
            header = replace(header, sound=replace(header.sound, samples=size))
        case 1:
            header = replace(header, grid=(min(size, 2**20), header.grid[1]))
        case 2:
            header = replace(header, codes=size)
        case 3 if header.coding is not None:
            steps, batch = min(size, 2**16), min(size, 2**12)
            header = replace(header, coding=PriorCoding(header.coding.prior, steps, batch))
        case 4:
            header = replace(header, table=draw.bytes(int(draw.integers(0, 20))))
        case _:
            payload[4:] = draw.bytes(int(draw.integers(0, 40)))
    if draw.random() < 0.5:
        payload[:4] = zlib.crc32(draw.bytes(8)).to_bytes(4, "little")
    return pack_stream(header, [bytes(payload)])


KINDS: dict[str, Callable[[np.random.Generator], bytes]] = {
    "streams, damaged": damaged,
    "streams, random": random_bytes,
    "streams, made up": with_right_checksums,
}


def judge(data: bytes) -> tuple[str, str]:
    """What comes of a stream: decoded, refused, traceback or changed."""
    said = ""
    for decompress in (partial(codec().decompress, max_pixels=10_000), sound_codec().decompress):
        try:
            found = decompress(data, name="a.gc").tobytes()
        except GridcodeError as error:
            said += str(error)
        except BaseException as error:  # a panic of the range coder is no Exception
            return "traceback", repr(error)
        else:
            return ("decoded" if any(found == right for _, right in whole()) else "changed"), repr(data)
    return ("refused" if "\n" not in said else "traceback"), said


@pytest.mark.parametrize("kind", KINDS)
def test_streams(kind: str) -> None:
    found = [judge(KINDS[kind](np.random.default_rng(seed))) for seed in range(80)]
    assert {outcome for outcome, _ in found} <= {"decoded", "refused"}, found
