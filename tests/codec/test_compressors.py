"""Tokens in general compressors: their bits are those of a readable packer, and the cost is zlib's and zstd's own."""

from __future__ import annotations

import zlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcode.codec import compressed_bits, compressors
from gridcode.codec.compressors import fixed_width
from gridcode.errors import GridcodeError


def packed_by_hand(tokens: list[int], width: int) -> bytes:
    """An oracle of strings: every token in binary, zeros at the end."""
    bits = "".join(f"{token:0{width}b}" for token in tokens)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[start : start + 8], 2) for start in range(0, len(bits), 8))


@settings(max_examples=40)
@given(st.data(), st.sampled_from([1, 2, 8, 9, 10, 16, 21, 63]))
def test_packing_is_the_hand_made_one(data: st.DataObject, width: int) -> None:
    tokens = data.draw(st.lists(st.integers(0, 2**width - 1), max_size=20))
    assert fixed_width(np.array(tokens, np.int64), width) == packed_by_hand(tokens, width)


def test_blocks_join_without_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressors, "_BLOCK", 16)
    tokens = np.random.default_rng(0).integers(0, 1000, 77)
    assert fixed_width(tokens, 10) == packed_by_hand(tokens.tolist(), 10)


def test_bits_are_those_of_the_smaller_layout() -> None:
    draw = np.random.default_rng(0)
    even = draw.integers(0, 1000, 3000)
    # 101 tokens of 10 bits end within a byte: packed, every repetition lies otherwise.
    pattern = np.tile(draw.integers(0, 1000, 101), 30)[:3000]
    for tokens, better in ((even, "packed"), (pattern, "whole")):
        layouts = {"packed": packed_by_hand(tokens.tolist(), 10), "whole": tokens.astype("<u2").tobytes()}
        found = compressed_bits(tokens, 1000)
        sizes = {name: len(zlib.compress(layout, 9)) for name, layout in layouts.items()}
        assert min(sizes, key=lambda name: sizes[name]) == better
        assert found.zlib == 8 * sizes[better] / 3000
        zstd = [len(pa.compress(layout, codec="zstd", asbytes=True)) for layout in layouts.values()]
        assert found.zstd <= 8 * min(zstd) / 3000, "the strongest level is no worse than the usual one"
        assert found.packed == 10


def test_even_tokens_cost_their_width_and_little_more() -> None:
    found = compressed_bits(np.random.default_rng(1).integers(0, 1024, 20_000), 1024)
    assert 10 <= found.zlib < 10.02
    assert 10 <= found.zstd < 10.02


@pytest.mark.parametrize(("codes", "packed"), [(1, 1), (2, 1), (1024, 10), (1025, 11), (2**63, 63)])
def test_a_packed_token_has_the_bits_of_the_largest(codes: int, packed: int) -> None:
    assert compressed_bits(np.array([codes - 1]), codes).packed == packed


@pytest.mark.parametrize(
    ("tokens", "error"), [([3, 8], r"in \[0, 8\), got 3 … 8"), ([-1, 7], "got -1 … 7"), ([], "there are no tokens")]
)
def test_what_are_no_tokens_is_refused(tokens: list[int], error: str) -> None:
    with pytest.raises(GridcodeError, match=error):
        compressed_bits(np.array(tokens, np.int64), 8)
