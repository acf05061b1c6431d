"""Coders against plain integer arithmetic."""

from __future__ import annotations

import sys
from fractions import Fraction
from math import ceil, exp, log2

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gridcode.codec import (
    PRECISION,
    RangeDecoder,
    RangeEncoder,
    frequencies_of_counts,
    frequencies_of_steps,
    pack,
    pack_counts,
    packed_size,
    unpack,
    unpack_counts,
)
from gridcode.errors import GridcodeError

SEEDS = st.integers(0, 2**32 - 1)


def oracle_decode(data: bytes, frequencies: list[list[int]]) -> list[int]:
    """constriction's range decoder in Python's integers: 64 bits of state, words of 32, an endless tail of zeros."""
    words = [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]
    words = [*words, *[0] * (len(frequencies) + 2)]
    lower, length, point, place, found = 0, 2**64 - 1, words[0] << 32 | words[1], 2, []
    for row in frequencies:
        scale = length >> PRECISION
        quantile, left, symbol = (point - lower) % 2**64 // scale, 0, 0
        while left + row[symbol] <= quantile:
            left += row[symbol]
            symbol += 1
        found.append(symbol)
        lower, length = (lower + scale * left) % 2**64, scale * row[symbol]
        if length < 2**32:
            lower, length = lower << 32 & 2**64 - 1, length << 32
            point = point << 32 & 2**64 - 1 | words[place]
            place += 1
    return found


@settings(max_examples=40, deadline=None)
@given(
    SEEDS, st.sampled_from([1, 2, 3, 8, 40, 1000, 2**16, 64000, 2**40, 2**63]), st.sampled_from([0, 1, 2, 3, 64, 95])
)
def test_raw_is_one_number_in_mixed_radix(seed: int, codes: int, count: int) -> None:
    tokens = np.random.default_rng(seed).integers(0, codes, count, dtype=np.uint64).astype(np.int64)
    packed = pack(tokens, codes)
    assert int.from_bytes(packed, "little") == sum(token * codes**i for i, token in enumerate(tokens.tolist()))
    assert len(packed) == packed_size(count, codes) == ceil((codes**count - 1).bit_length() / 8)
    np.testing.assert_array_equal(unpack(packed, count, codes), tokens)


def test_raw_in_blocks() -> None:
    tokens = np.random.default_rng(0).integers(0, 1000, 9000)
    packed = pack(tokens, 1000)
    assert 0 <= len(packed) - ceil(9000 * log2(1000) / 8) <= 2
    np.testing.assert_array_equal(unpack(packed, 9000, 1000), tokens)


def test_raw_refuses_what_is_no_row_of_tokens() -> None:
    for data, count in ((b"\xff", 1), (b"\xff\xff", 3), (b"", 3), (b"\x00" * 3, 3)):
        with pytest.raises(GridcodeError, match="damaged"):
            unpack(data, count, 5 if count == 3 else 200)
    with pytest.raises(GridcodeError, match=r"tokens lie in \[0, 5\)"):
        pack(np.array([5]), 5)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.sampled_from([1, 2, 5, 1000]))
def test_frequencies_of_counts_by_fractions(seed: int, codes: int) -> None:
    draw = np.random.default_rng(seed)
    counts = (draw.exponential(size=codes) ** 4 * draw.choice([1, 10**6])).astype(np.int64)
    found = frequencies_of_counts(counts)
    assert found.sum() == 2**PRECISION
    assert found.min() >= 1
    if counts.sum():
        free, first = 2**PRECISION - codes, int(counts.argmax())
        exact = [1 + int(Fraction(int(count), int(counts.sum())) * free) for count in counts]
        exact[first] += 2**PRECISION - sum(exact)
        assert found.tolist() == exact
    np.testing.assert_array_equal(frequencies_of_counts(np.stack([counts, counts]))[1], found)


def test_frequencies_of_logits_are_their_softmax() -> None:
    steps = np.random.default_rng(1).integers(-300, 300, (20, 100))
    found = frequencies_of_steps(steps) / 2**PRECISION
    powers = np.exp((steps - steps.max(-1, keepdims=True)) / 16)
    np.testing.assert_allclose(found, powers / powers.sum(-1, keepdims=True), atol=2**-16, rtol=0)
    np.testing.assert_array_equal(frequencies_of_steps(steps + 2**40), frequencies_of_steps(steps))


def test_a_code_that_is_impossible_costs_24_bits() -> None:
    found = frequencies_of_steps(np.array([0, -(10**9), round(16 * log2(exp(1)))]))
    assert found.sum() == 2**PRECISION
    assert found[1] == 1


def drawn(seed: int, codes: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Symbols, and frequencies by which they were drawn, some of them very sure."""
    draw = np.random.default_rng(seed)
    rows = frequencies_of_steps((draw.normal(size=(count, codes)) * draw.choice([1, 50, 400])).astype(np.int64))
    points = draw.integers(0, 2**PRECISION, count)
    return np.array(
        [np.searchsorted(row.cumsum(), point, side="right") for row, point in zip(rows, points, strict=True)], np.int64
    ), rows


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.sampled_from([1, 2, 3, 40, 300]), st.sampled_from([0, 1, 5, 60]))
@example(2973004, 40, 60)  # ends in two words
def test_range_coder_beside_integers(seed: int, codes: int, count: int) -> None:
    symbols, rows = drawn(seed, codes, count)
    encoder = RangeEncoder()
    encoder.encode(symbols[: count // 2], rows[: count // 2])
    encoder.encode(symbols[count // 2 :], rows[count // 2 :])
    data = encoder.finish()
    information = -np.log2(rows[np.arange(count), symbols] / 2**PRECISION).sum()
    assert 8 * len(data) <= information + 33 - count * log2(1 - 2**-8)
    decoder = RangeDecoder(data)
    np.testing.assert_array_equal(decoder.decode(rows), symbols)
    if codes > 1:
        assert oracle_decode(data, rows.tolist()) == symbols.tolist()


def test_range_coder_with_one_distribution() -> None:
    table = frequencies_of_counts(np.array([900, 90, 9, 1]))
    symbols = np.random.default_rng(0).choice(4, 500, p=[0.9, 0.09, 0.009, 0.001])
    encoder = RangeEncoder()
    encoder.encode(symbols, table)
    encoder.encode(symbols[:7], np.repeat(table[None], 7, 0))
    data = encoder.finish()
    decoder = RangeDecoder(data)
    np.testing.assert_array_equal(decoder.decode(np.repeat(table[None], 500, 0)), symbols)
    np.testing.assert_array_equal(decoder.decode(table, 7), symbols[:7])
    assert oracle_decode(data, [table.tolist()] * 507) == [*symbols, *symbols[:7]]


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=24), SEEDS)
def test_any_bytes_decode_or_are_refused(data: bytes, seed: int) -> None:
    rows = drawn(seed, 50, 20)[1]
    if len(data) % 4:
        with pytest.raises(GridcodeError, match="words of 4 bytes"):
            RangeDecoder(data)
    else:
        found = RangeDecoder(data).decode(rows)
        assert 0 <= found.min() <= found.max() < 50


def test_table_of_counts() -> None:
    tokens = np.random.default_rng(0).choice(1000, 5000, p=np.arange(1000) ** 3 / (np.arange(1000.0) ** 3).sum())
    counts = unpack_counts(pack_counts(tokens, 1000), 1000)
    np.testing.assert_array_equal(counts, np.bincount(tokens, minlength=1000))
    scaled = unpack_counts(pack_counts(np.repeat([0, 3, 4], [10**6, 5000, 1]), 5), 5)
    assert scaled.tolist() == [65536, 0, 0, 328, 1]
    for table in (b"\x05\x01", b"\x00", b"\x00\x00", b"\x81"):
        with pytest.raises(GridcodeError, match="table of counts"):
            unpack_counts(table, 5)


def test_without_constriction_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "constriction", None)
    with pytest.raises(GridcodeError, match=r"gridcode\[codec\]"):
        RangeEncoder()
