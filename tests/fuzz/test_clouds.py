"""Damaged files of point clouds through their reader: each is read, as finite points, or refused in one line."""

import io
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest

from gridcode.domains.points.data.decode import read_points
from gridcode.errors import GridcodeError

POINTS = np.random.default_rng(0).normal(size=(20, 3)).astype("<f4")


def _saved(save, **arrays) -> bytes:
    buffer = io.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


def _ply(form: str, body: bytes) -> bytes:
    properties = "".join(f"property float {axis}\n" for axis in "xyz")
    return f"ply\nformat {form} 1.0\nelement vertex 20\n{properties}end_header\n".encode() + body


WHOLE = (
    (".npy", _saved(np.save, arr=POINTS)),
    (".npz", _saved(np.savez, points=POINTS)),
    (".npz", _saved(np.savez_compressed, points=POINTS)),
    (".ply", _ply("binary_little_endian", POINTS.tobytes())),
    (".ply", _ply("ascii", "".join(f"{x} {y} {z}\n" for x, y, z in POINTS.tolist()).encode())),
)


def check(seed: tuple[int, ...]) -> tuple[str, str]:
    """Change some bytes of a file, above all of its header, and read it."""
    draws = np.random.default_rng(seed)
    suffix, whole = WHOLE[draws.integers(len(WHOLE))]
    damaged = bytearray(whole)
    for _ in range(draws.integers(1, 4)):
        place = int(draws.integers(min(len(damaged), 200 if draws.random() < 0.7 else len(damaged))))
        match draws.integers(3):
            case 0:
                damaged[place] = draws.integers(256)
            case 1:
                del damaged[place : place + int(draws.integers(1, 9))]
            case _:
                damaged[place:place] = draws.choice(list(b"0123456789-. \nfi"), int(draws.integers(1, 6))).tolist()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        path = Path(folder) / f"a{suffix}"
        path.write_bytes(bytes(damaged))
        try:
            points = read_points(path)
        except GridcodeError as error:
            text = str(error)
            return ("refused" if text.startswith(str(path)) and "\n" not in text else "changed"), text
        except Exception as error:
            return "traceback", f"{type(error).__name__}: {error}"
    return ("decoded" if points.shape[1] == 3 and np.isfinite(points).all() else "changed"), str(points.shape)


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_cloud_is_read_or_refused_in_one_line(seed: int) -> None:
    outcome, seen = check((7, seed))
    assert outcome in ("decoded", "refused"), seen
