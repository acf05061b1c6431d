"""Range coding, by constriction, of symbols whose frequencies are integers.

constriction takes probabilities as floats and makes integers of them itself: for n symbols of weights p,

    left_i = floor(Σ_{j<i} p_j · (2^24 - n) / Σ p) + i

Here p_j is f_j - 1, so that Σ p is 2^24 - n, the factor is 1, and every sum is a whole number below 2^24: no rounding
takes place, and constriction codes with exactly the frequencies f, whatever the machine. The tests decode its words by
a range decoder in plain integers (the same as constriction's queue: state of 64 bits, words of 32).

The stream is a whole number of 32-bit words, little-endian. It is at most 33 bits and, of n symbols, 0.0057 n bits
above the information in the symbols. The interval [low, low + r) that the symbols leave has 2^32 <= r < 2^64: the
stream ends in one word where a multiple of 2^32 and all that may follow it fit in, always if r >= 2^33, else in two.
After w words the information is 32 w + 64 - log2 r, so that the excess is below 32 bits in the first case and 33 in
the second. A symbol divides r by 2^24 and drops less than 1 of at least 2^8 parts: -log2(1 - 2^-8) = 0.0057 bits.

Reference: Bamler, "Understanding Entropy Coding With Asymmetric Numeral Systems", 2022 (arXiv 2201.01741), and the
library constriction; Martin, "Range encoding", 1979.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridcode.codec.frequencies import PRECISION
from gridcode.errors import GridcodeError

_AT_ONCE = 2**21
"""Frequencies that are sent to constriction in one call, at most: 16 MiB."""


def constriction() -> Any:
    """The library.

    Raises:
        GridcodeError: It is not installed.
    """
    try:
        import constriction as library
    except ImportError:
        raise GridcodeError(
            "the coders static and prior need constriction, which is not installed: pip install 'gridcode[codec]', or "
            "use the coder raw"
        ) from None
    return library.stream


class RangeEncoder:
    """Writes symbols.

    >>> encoder = RangeEncoder()
    >>> encoder.encode(np.array([0, 1, 0]), np.array([2**24 - 5, 5]))
    >>> len(encoder.finish())
    4
    """

    def __init__(self) -> None:
        self._stream = constriction()
        self._encoder = self._stream.queue.RangeEncoder()

    def encode(self, symbols: NDArray[np.int64], frequencies: NDArray[np.int64]) -> None:
        """Add symbols.

        Args:
            symbols: int64 in [0, K), (M,).
            frequencies: int64 with sums of 2^24, (M, K), or (K,) for all symbols alike.
        """
        if frequencies.shape[-1] == 1 or not len(symbols):
            return  # a single code tells nothing
        if frequencies.ndim == 1:
            model = self._stream.model.Categorical(_weights(frequencies), perfect=False)
            self._encoder.encode(symbols.astype(np.int32), model)
            return
        family = self._stream.model.Categorical(perfect=False)
        for rows in _parts(frequencies):
            self._encoder.encode(symbols[rows].astype(np.int32), family, _weights(frequencies[rows]))

    def finish(self) -> bytes:
        """All that was encoded."""
        words: NDArray[np.uint32] = self._encoder.get_compressed()
        return words.astype("<u4").tobytes()


class RangeDecoder:
    """Reads symbols, in the order in which they were written.

    Args:
        data: What :meth:`RangeEncoder.finish` gave. Other bytes give other symbols, or an error; a checksum tells.

    Raises:
        GridcodeError: It is no whole number of words.

    >>> encoder = RangeEncoder()
    >>> encoder.encode(np.array([0, 1, 0]), np.array([2**24 - 5, 5]))
    >>> RangeDecoder(encoder.finish()).decode(np.array([2**24 - 5, 5]), 3).tolist()
    [0, 1, 0]
    """

    def __init__(self, data: bytes) -> None:
        if len(data) % 4:
            raise GridcodeError(f"a range coder's stream comes in words of 4 bytes, got {len(data)}; it is damaged")
        self._stream = constriction()
        self._decoder = self._stream.queue.RangeDecoder(np.frombuffer(data, "<u4").astype(np.uint32))

    def decode(self, frequencies: NDArray[np.int64], count: int | None = None) -> NDArray[np.int64]:
        """The next symbols.

        Args:
            frequencies: As they were encoded with: int64, (M, K), or (K,) for ``count`` symbols alike.
            count: How many, where all have the same frequencies.

        Returns:
            int64 in [0, K), (M,).

        Raises:
            GridcodeError: No symbols are encoded like that.
        """
        amount = len(frequencies) if count is None else count
        if frequencies.shape[-1] == 1 or not amount:
            return np.zeros(amount, np.int64)
        model = self._stream.model
        try:
            if count is not None:
                found = [self._decoder.decode(model.Categorical(_weights(frequencies), perfect=False), count)]
            else:
                family = model.Categorical(perfect=False)
                found = [self._decoder.decode(family, _weights(frequencies[rows])) for rows in _parts(frequencies)]
        except (AssertionError, ValueError) as error:
            raise GridcodeError(f"the range coder's stream is damaged ({error}); get it again") from None
        return np.concatenate(found).astype(np.int64)


def _weights(frequencies: NDArray[np.int64]) -> NDArray[np.float64]:
    """What constriction makes exactly these frequencies of."""
    assert int(frequencies.sum(-1).flat[0]) == 2**PRECISION
    return (frequencies - 1).astype(np.float64)


def _parts(frequencies: NDArray[np.int64]) -> list[slice]:
    """Rows that go into one call."""
    size = max(1, _AT_ONCE // frequencies.shape[-1])
    return [slice(start, start + size) for start in range(0, len(frequencies), size)]
