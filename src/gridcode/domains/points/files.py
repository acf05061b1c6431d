"""Clouds to files: .npy or .ply (binary, little-endian), written whole or not at all."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from torch import Tensor

from gridcode.files import write_atomic


def write_cloud(path: Path, cloud: Tensor) -> None:
    """Write the points (N, 3) of a cloud; the file's ending says how.

    Raises:
        GridcodeError: The file cannot be written.

    >>> import tempfile, torch
    >>> from gridcode.domains.points.data.decode import read_points
    >>> path = Path(tempfile.mkdtemp()) / "a.ply"
    >>> write_cloud(path, torch.tensor([[1.0, 2.0, 3.0]]))
    >>> read_points(path).tolist()
    [[1.0, 2.0, 3.0]]
    """
    points = np.ascontiguousarray(cloud.detach().cpu().numpy(), "<f4")
    if path.suffix == ".ply":
        properties = "".join(f"property float {axis}\n" for axis in "xyz")
        header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(points)}\n{properties}end_header\n"
        encoded = header.encode("ascii") + points.tobytes()
    else:
        buffer = io.BytesIO()
        np.save(buffer, points)
        encoded = buffer.getvalue()
    write_atomic(path, lambda temporary: temporary.write_bytes(encoded))
