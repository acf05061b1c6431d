"""The engine knows no kind of data: none of its folders names one, neither in a name of its code nor in a text.

import-linter checks what modules import (``pyproject.toml``); here is what they say. Docstrings may give examples.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import gridcode

ROOT = Path(gridcode.__file__).parent

ENGINE = (
    *("quantize", "nn", "store", "codec", "training", "tokenizer", "prior", "features", "evaluation", "tasks", "data"),
    *("hub.py", "files.py", "errors.py"),
)
"""What works for any kind of data. Images are what ``data`` and ``features`` read, so the word is everybody's;
``data/scenes`` renders what several kinds learn from.

``metrics`` is left out: a pure measure of depth maps or of segments is called so.
"""

KINDS = re.compile(
    r"dense|(?<!\.)depth(?!wise|=)|panoptic|colou?ri[sz]|label.?maps?\b|labeltokenizer|vq_?gan|uvim|audio|waveform|spectrogram"
    r"|point.?cloud|chamfer|\bclouds\b|byte.?accuracy|whole.?windows|per.?character|\bvideos?\b|frame.?rate|\bfps\b",
    re.I,
)
"""Words that only a kind of data uses; a setting may be called ``model.encoder.depth``."""

ALLOWED = {
    "tokenizer/model.py": {"label-tokenizer": "the kind in folders of version 1", "dense": "what that kind is today"},
    "quantize/config.py": {"uvim": "a published variant of VQ", "uvim_unsplit": "likewise"},
    "quantize/make.py": {"uvim": "a published variant of VQ", "uvim_unsplit": "likewise"},
    "quantize/vq/quantizer.py": {"uvim": "a published variant of VQ"},
    "features/efficientnet.py": {"_WIDTH_AND_DEPTH": "layers of a network"},
    "quantize/usage.py": {"DENSE_LIMIT": "counts of every code, not of those seen", "_DenseCounts": "likewise"},
}
"""By file and name: why it is there."""

OTHER_MEANINGS = {"depth": {"nn", "prior", "features"}, "dense": {"quantize", "features"}}
"""Identifiers, not texts, that mean something else in these folders: layers of a network, memory, a layer."""


def names(path: Path) -> Iterator[tuple[int, str, bool]]:
    """Every identifier and every text of a module that is no docstring, with its line, and whether it is a text."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        match node:
            case ast.Constant(value=str(text)) if id(node) not in docs:
                yield line, text, True
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.alias(name=name):
                yield line, name, False
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                yield line, name, False
            case ast.keyword(arg=str(name)):
                yield line, name, False
            case ast.ImportFrom(module=str(name)):
                yield line, name, False


def modules(place: str) -> list[Path]:
    found = sorted((ROOT / place).rglob("*.py")) if (ROOT / place).is_dir() else [ROOT / place]
    return [path for path in found if "scenes" not in path.parts]


@pytest.mark.parametrize("place", ENGINE)
def test_no_folder_of_the_engine_names_a_kind_of_data(place: str) -> None:
    found = []
    for path in modules(place):
        where = path.relative_to(ROOT).as_posix()
        for line, name, is_text in names(path):
            other_meaning = not is_text and place in OTHER_MEANINGS.get(name, ())
            if KINDS.search(name) and not other_meaning and name not in ALLOWED.get(where, ()):
                found.append(f"{where}:{line}: {name}")
    assert not found, "\n".join(found)


def test_what_is_allowed_is_still_there() -> None:
    for where, allowed in ALLOWED.items():
        assert allowed.keys() <= {name for _, name, _ in names(ROOT / where)}, where
