"""The file's format: what was written is read, and nothing else is."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcode.codec import Bitstream, Header, ImageSize, PriorCoding, pack_stream, parse_stream
from gridcode.codec.bitstream import MAGIC, Sound, check_seal, coded_part, seal, with_checksum
from gridcode.codec.numbers import number
from gridcode.errors import GridcodeError

PLAIN = Header("raw", "0123456789abcdef", 1000, (3, 4), image=ImageSize(20, 31, 3))
MANY = Header(
    "prior", "0123456789abcdef", 2**63, (2, 2, 4), 7, 3, coding=PriorCoding("fedcba9876543210", 12, 4), about=b"about"
)
SOUND = Header("raw", "0123456789abcdef", 4096, (1, 9), sound=Sound(570, 8000, 131072))


def read(data: bytes) -> tuple[Bitstream, list[bytes]]:
    stream = parse_stream(data, "a.gc")
    return stream, list(stream.payloads())


@pytest.mark.parametrize(
    ("header", "payloads"),
    [
        (PLAIN, [b"payload"]),
        (SOUND, [b"payload"]),
        (MANY, [b"", b"a" * 300, b"\0"]),
        (replace(PLAIN, coder="static", table=b"table", image=None), [b"x"]),
    ],
)
def test_what_was_written_is_read(header: Header, payloads: list[bytes]) -> None:
    stream, found = read(pack_stream(header, payloads))
    assert stream.header == header
    assert found == payloads
    assert [len(stream.header.examples_of(block)) for block in range(header.blocks)][-1] in (1, header.block)


def damaged() -> Iterator[bytes]:
    for header, payloads in ((PLAIN, [b"payload"]), (SOUND, [b"a"]), (MANY, [b"", b"abc", b"\0"])):
        data = pack_stream(header, payloads)
        for place in range(len(data)):
            for bits in (1, 0x80, 0xFF):
                yield data[:place] + bytes([data[place] ^ bits]) + data[place + 1 :]
            yield data[:place]
            yield data[:place] + b"\0" + data[place:]
        yield data + b"\0"
        yield data * 2


def test_every_flip_cut_and_insertion_is_refused_in_one_line() -> None:
    for data in damaged():
        with pytest.raises(GridcodeError) as caught:
            read(data)
        assert "\n" not in str(caught.value)
        assert "a.gc" in str(caught.value)


def test_other_files_and_versions() -> None:
    for data in (b"", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, b"\xff\xd8\xff\xe0" * 9, MAGIC[:3]):
        with pytest.raises(GridcodeError, match="is no file of gridcode compress"):
            read(data)
    with pytest.raises(GridcodeError, match=r"a\.gc has version 2, this gridcode reads 1; upgrade gridcode"):
        read(MAGIC + b"\x02" + pack_stream(PLAIN, [b""])[5:])


@pytest.mark.parametrize("value", [0, 2**32, 2**40, 2**62, 2**69])
def test_absurd_sizes_cost_no_memory(value: int) -> None:
    head = MAGIC + bytes([1, 0, 0]) + bytes(8)
    fields = [1000, 2, 4, 4, 1, 1, 0, 0, 0]
    tracemalloc.start()
    for place in range(1, 6) if value < 2 else range(1, len(fields)):
        claimed = [*fields[:place], value, *fields[place + 1 :]]
        data = with_checksum(head + b"".join(map(number, claimed))) + with_checksum(b"")
        with pytest.raises(GridcodeError, match=r"a\.gc"):
            read(data)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_a_block_of_too_many_tokens() -> None:
    with pytest.raises(GridcodeError, match="claims 48 tokens in a block, and the limit is 47"):
        MANY.check_tokens(47, "a.gc")
    MANY.check_tokens(48, "a.gc")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_after_the_magic(data: bytes) -> None:
    with pytest.raises(GridcodeError):
        read(MAGIC + b"\x01" + data)


def test_the_seal_is_of_the_tokens() -> None:
    tokens = np.arange(6)
    payload = seal(tokens, b"coded")
    assert coded_part(payload) == b"coded"
    check_seal(payload, tokens.reshape(2, 3), "a.gc")
    with pytest.raises(GridcodeError, match=re.escape("a.gc does not decode to the tokens that were coded")):
        check_seal(payload, tokens + 1, "a.gc")
    with pytest.raises(GridcodeError, match="too short"):
        coded_part(b"abc")
