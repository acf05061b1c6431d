"""Bits per character against a hand-made case, and how texts are shown."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gridcode.domains.text.data import Stretch, TextBatch, as_batch
from gridcode.domains.text.evaluate import compressed_bits
from gridcode.domains.text.measure import TextMeter
from gridcode.domains.text.show import image, in_lines, marked, shown
from gridcode.quantize.fsq.quantizer import FSQ


def batch_of(*texts: bytes, window: int) -> TextBatch:
    return as_batch([Stretch("a", 0, np.frombuffer(text, np.uint8)) for text in texts], window)


def test_bits_a_character_are_those_of_the_tokens_and_those_the_tokens_leave_open() -> None:
    """Two windows of 4 and 2 bytes; the decoder gives each byte a probability of our choice."""
    batch = batch_of(b"abcd", b"ef", window=4)
    probability = torch.tensor([[0.5, 0.25, 0.5, 0.1], [0.5, 0.125, 0.9, 0.9]])
    logits = torch.full((2, 256, 4), -math.inf)
    for row, column in np.ndindex(2, 4):
        right = int(batch.text[row, column])
        logits[row, right, column] = probability[row, column].log()
        logits[row, (right + 1) % 256, column] = (1 - probability[row, column]).log()
    logits[0, ord("a") + 1, 0] = -math.inf  # alone, so that it is the most probable
    logits[0, ord("a"), 0] = 0.0
    meter = TextMeter(SimpleNamespace(quantizer=FSQ([8, 5])))  # type: ignore[arg-type]
    meter.update(batch, logits, torch.tensor([[[0, 1]], [[2, 3]]]))
    found = meter.compute()
    bits = [0, 2, 1, math.log2(10), 1, 3]  # of a b c d, e f; what fills up costs nothing
    assert found.decoder_bits == pytest.approx(sum(bits) / 6, abs=1e-6)
    assert (found.windows, found.size, found.usage.pooled.used) == (2, 6, 4)
    # A token costs 5 bits and a window has 2: 20 bits more for the 6 bytes.
    assert found.path_bits(5.0, 2) == pytest.approx((20 + sum(bits)) / 6, abs=1e-6)


def test_a_window_is_whole_where_its_own_bytes_are() -> None:
    batch = batch_of(b"abcd", b"ef", b"ghij", window=4)
    answers = batch.text.clone()
    answers[1, 3] = 7  # behind the text's end
    answers[2, 1] = 7
    meter = TextMeter(SimpleNamespace(quantizer=FSQ([8, 5])))  # type: ignore[arg-type]
    logits = torch.nn.functional.one_hot(answers.long(), 256).mT * 20.0
    meter.update(batch, logits, torch.zeros(3, 1, 2, dtype=torch.long))
    found = meter.compute()
    assert (found.whole_windows, found.byte_accuracy) == (pytest.approx(2 / 3), pytest.approx(9 / 10))


def test_compressors_know_what_came_before() -> None:
    text = bytes(np.random.default_rng(0).integers(97, 123, 4000).astype(np.uint8))
    found = compressed_bits(text, text[:1000])
    for name in ("gzip", "xz", "zstd"):
        assert 4.7 < found[name] < 6.5  # log2 26 and a header
        assert found[f"{name}_after_training_text"] < 0.6


def test_invalid_text_is_shown_with_escapes_and_wrong_characters_marked() -> None:
    assert shown(b"a\nb\xff\x07\xc3\xa9") == r"a⏎b\xff\x07é"
    original = np.frombuffer(b"\xc3\xa9t\xff", np.uint8)
    wrong = np.frombuffer(b"\xc3\xa8t\xff", np.uint8)
    assert marked(wrong, original) == (("è", True), ("t\\xff", False))
    rows = in_lines(original, wrong, 2)
    assert [len(row) for row in rows] == [2, 2]
    drawn = image([one for row in rows for one in row])
    assert drawn.shape[2] == 3
    assert ((drawn[..., 0] > 150) & (drawn[..., 1] < 60)).any()
