"""Packed tokens are those of a readable packer, come back, and cost what zlib's and zstd's own bytes say."""

from __future__ import annotations

import zlib

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcode.errors import GridcodeError
from gridcode.store import compressed_bits, pack_tokens, packing, unpack_tokens


def packed_by_hand(tokens: list[int], codebook_size: int) -> bytes:
    """An oracle of strings: every token in binary, zeros at the end."""
    width = max(1, len(f"{codebook_size - 1:b}"))
    bits = "".join(f"{token:0{width}b}" for token in tokens)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[start : start + 8], 2) for start in range(0, len(bits), 8))


@settings(max_examples=40)
@given(st.data(), st.sampled_from([1, 2, 3, 40, 256, 257, 1000, 1024, 2**16, 2**20 + 1, 2**63]))
def test_packing_is_the_hand_made_one_and_comes_back(data: st.DataObject, codebook_size: int) -> None:
    tokens = data.draw(st.lists(st.integers(0, codebook_size - 1), max_size=20))
    packed = pack_tokens(torch.tensor(tokens, dtype=torch.int64), codebook_size)
    assert packed == packed_by_hand(tokens, codebook_size)
    assert unpack_tokens(packed, codebook_size, len(tokens)).tolist() == tokens


def test_blocks_join_without_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_BLOCK", 16)
    tokens = torch.randint(0, 1000, (7, 11), generator=torch.Generator().manual_seed(0))
    packed = pack_tokens(tokens, 1000)
    assert packed == packed_by_hand(tokens.flatten().tolist(), 1000)
    assert torch.equal(unpack_tokens(packed, 1000, 77), tokens.flatten())


def test_bits_are_those_of_the_smaller_layout() -> None:
    generator = torch.Generator().manual_seed(0)
    even = torch.randint(0, 1000, (3000,), generator=generator)
    pattern = torch.randint(0, 1000, (101,), generator=generator).repeat(30)[:3000]
    for tokens, better in ((even, "packed"), (pattern, "whole")):
        layouts = {
            "packed": packed_by_hand(tokens.tolist(), 1000),
            "whole": tokens.numpy().astype(np.uint16).tobytes(),
        }
        found = compressed_bits(tokens, 1000)
        sizes = {name: len(zlib.compress(layout, 9)) for name, layout in layouts.items()}
        assert min(sizes, key=lambda name: sizes[name]) == better
        assert found.zlib == 8 * sizes[better] / 3000
        zstd = {name: len(pa.compress(layout, codec="zstd", asbytes=True)) for name, layout in layouts.items()}
        assert found.zstd <= 8 * min(zstd.values()) / 3000, "the strongest level is no worse than the usual one"
        assert found.packed == 10


def test_even_tokens_cost_their_entropy_at_least_and_no_more_than_their_width() -> None:
    tokens = torch.randint(0, 1024, (20_000,), generator=torch.Generator().manual_seed(1))
    found = compressed_bits(tokens, 1024)
    assert 10 <= found.zlib < 10.02
    assert 10 <= found.zstd < 10.02


@pytest.mark.parametrize(
    ("tokens", "error"),
    [
        (torch.tensor([0.0]), "torch.float32; give integers"),
        (torch.tensor([True]), "torch.bool"),
        (torch.tensor([3, 8]), r"in \[0, 8\), got 8"),
        (torch.tensor([-1, 9]), "got -1"),
        (torch.zeros(0, dtype=torch.int64), "there are no tokens"),
    ],
)
def test_what_are_no_tokens_is_refused(tokens: torch.Tensor, error: str) -> None:
    with pytest.raises(GridcodeError, match=error):
        compressed_bits(tokens, 8)


def test_a_wrong_count_of_bytes_is_refused() -> None:
    with pytest.raises(GridcodeError, match="3 tokens of 10 bits take 4 bytes, got 3"):
        unpack_tokens(b"abc", 1000, 3)
    with pytest.raises(GridcodeError, match=r"in \[0, 1000\), got 1023"):
        unpack_tokens(b"\xff\xff", 1000, 1)
