"""Whole numbers of any size as bytes, read with bounds: base 128, the low digit first (LEB128)."""

from __future__ import annotations

from typing import final

from gridcode.errors import GridcodeError

_LONGEST = 10
"""Bytes of a number, at most: 70 bits."""


def number(value: int) -> bytes:
    """A whole number >= 0, in 7 bits per byte.

    >>> number(5).hex(), number(300).hex()
    ('05', 'ac02')
    """
    assert 0 <= value < 2 ** (7 * _LONGEST)
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


@final
class Numbers:
    """Reads numbers and bytes one after another, each within its bounds.

    Args:
        data: Where they lie.
        owner: What they are of, for errors.
        start: Place of the first.

    >>> numbers = Numbers(number(300) + b"ab", "the example")
    >>> numbers.take(most=1000, what="count"), bytes(numbers.bytes(2)), numbers.ended
    (300, b'ab', True)
    """

    def __init__(self, data: bytes | memoryview, owner: str, *, start: int = 0) -> None:
        self.data, self.owner, self.place = data, owner, start

    @property
    def ended(self) -> bool:
        """Whether all was read."""
        return self.place >= len(self.data)

    def take(self, *, most: int, what: str, least: int = 0) -> int:
        """The next number.

        Args:
            most: What it is at most.
            what: Its name, for errors.
            least: What it is at least.

        Raises:
            GridcodeError: It is outside, longer than it need be, or the data end in it.
        """
        value = 0
        for digit in range(_LONGEST):
            if self.ended:
                raise GridcodeError(f"{self.owner} ends in its {what}; it is cut short, get it again")
            byte = self.data[self.place]
            self.place += 1
            value |= (byte & 127) << (7 * digit)
            if byte < 128:
                break
        if not least <= value <= most or (digit and not byte):
            raise GridcodeError(f"{self.owner} says {what} {value}, but it lies in [{least}, {most}]; it is damaged")
        return value

    def bytes(self, count: int) -> bytes:
        """The next ``count`` bytes.

        Raises:
            GridcodeError: There are fewer.
        """
        if count > len(self.data) - self.place:
            raise GridcodeError(f"{self.owner} is cut short: {count} bytes should follow; get it again")
        self.place += count
        return bytes(self.data[self.place - count : self.place])
