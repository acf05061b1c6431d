"""One array from the bytes of a .npy or .npz file, and everything that NumPy may raise on damaged ones."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Sequence
from io import BytesIO
from tokenize import TokenError
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

ARRAY_ERRORS: Final = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    IndexError,
    KeyError,
    OverflowError,
    RuntimeError,  # NotImplementedError too
    MemoryError,
    struct.error,
    zlib.error,
    BadZipFile,
    TokenError,
)
"""What NumPy raises: an array's header is parsed as Python, a zip may ask for a password."""


def load_array(encoded: bytes, names: Sequence[str]) -> NDArray[Any]:
    """The array of a .npy file, or the only one of a .npz file, or the one that has the first of some names there.

    Args:
        encoded: The file's bytes. Pickled objects in it are refused, never run.
        names: Names of arrays in a .npz file, the preferred one first.

    Raises:
        ValueError: There is no such array; also any of :data:`ARRAY_ERRORS`, where the file is damaged.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Reading `.npy` or `.npz` file required", UserWarning)  # of Python 2
        values: Any = np.load(BytesIO(encoded), allow_pickle=False)
        if isinstance(values, np.ndarray):
            return values
        keys = list(values)
        key = keys[0] if len(keys) == 1 else next((name for name in names if name in keys), None)
        if key is None:
            raise ValueError(f"arrays {', '.join(keys[:5]) or 'none'}, none of them called {names[0]}")
        found: NDArray[Any] = values[key]
        return found
