r"""Texts to look at: bytes that are no text as escapes, and wrong ones marked.

b"a\nb\xff"  ->  a⏎b\xff        a line's end is ⏎, what is no UTF-8 and other control characters are \xNN
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gridcode.domains.text.data import Bytes
from gridcode.evaluation.images import ImageArray, save_png
from gridcode.evaluation.passages import Passage

_NAMED = {"\n": "⏎", "\t": "⇥", "\0": "∅"}
_LINE, _STEP = 13, 6
_BLACK, _RED = (20, 20, 20), (200, 0, 0)


def characters(content: bytes) -> Iterable[tuple[str, int]]:
    r"""Every character of a text as it is shown, with the number of its bytes.

    >>> list(characters(b"a\n\xc3\xa9\xff"))
    [('a', 1), ('⏎', 1), ('é', 2), ('\\xff', 1)]
    """
    for one in content.decode("utf-8", "surrogateescape"):
        if "\udc80" <= one <= "\udcff":
            yield f"\\x{ord(one) - 0xDC00:02x}", 1
        elif one in _NAMED:
            yield _NAMED[one], 1
        else:
            escaped = "".join(f"\\x{byte:02x}" for byte in one.encode())
            yield (one if one.isprintable() else escaped), len(one.encode())


def shown(content: bytes) -> str:
    r"""A text in one line.

    >>> shown(b"To be,\nor \x00")
    'To be,⏎or ∅'
    """
    return "".join(text for text, _ in characters(content))


def marked(content: Bytes, original: Bytes) -> Passage:
    """A text in runs, of characters that are right and of characters that differ from an original of its length.

    >>> marked(np.frombuffer(b"cat", np.uint8), np.frombuffer(b"cut", np.uint8))
    (('c', False), ('a', True), ('t', False))
    """
    wrong, place, found = content != original, 0, list[tuple[str, bool]]()
    for text, count in characters(content.tobytes()):
        found.append((text, bool(wrong[place : place + count].any())))
        place += count
    runs = groupby(found, key=lambda one: one[1])
    return tuple(("".join(text for text, _ in run), differs) for differs, run in runs)


def image(passages: Sequence[Passage], *, columns: int = 2) -> ImageArray:
    """Passages as an image, uint8 (H, W, 3): some in a row, what is marked in red.

    >>> image([(("To be", False),), (("Tu be", True),)]).shape
    (17, 76, 3)
    """
    font = ImageFont.load_default_imagefont()
    widest = max((sum(len(text) for text, _ in passage) for passage in passages), default=1) + 1
    rows = -(-len(passages) // columns)
    page = Image.new("RGB", (4 + columns * widest * _STEP, 4 + rows * _LINE), "white")
    draw = ImageDraw.Draw(page)
    for number, passage in enumerate(passages):
        x, y = 4 + number % columns * widest * _STEP, 2 + number // columns * _LINE
        for text, differs in passage:
            plain = text.replace("⏎", "\xb6").replace("∅", "\xd8").encode("latin-1", "replace").decode("latin-1")
            draw.text((x, y), plain, fill=_RED if differs else _BLACK, font=font)
            x += len(text) * _STEP
    return np.asarray(page)


def save_sheet(path: Path, texts: Bytes, reconstructions: Bytes) -> None:
    """Write windows (B, T), each with its reconstruction to the right and wrong characters in red, as PNG."""
    pairs = ((marked(a, a), marked(b, a)) for a, b in zip(texts, reconstructions, strict=True))
    save_png(image([one for pair in pairs for one in pair]), path)


def in_lines(content: Bytes, back: Bytes, window: int) -> list[tuple[Passage, Passage]]:
    """A text and its reconstruction, both (n,), window by window."""
    return [
        (marked(content[start : start + window], content[start : start + window]),
         marked(back[start : start + window], content[start : start + window]))
        for start in range(0, len(content), window)
    ]  # fmt: skip
