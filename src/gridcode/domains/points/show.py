"""Clouds as images: scatter plots from two views, near points yellow and far ones violet."""

from __future__ import annotations

from math import cos, pi, sin
from pathlib import Path
from typing import Final

import numpy as np
from torch import Tensor

from gridcode.evaluation.images import ImageArray, contact_sheet, save_png

SIDE = 140
"""Pixels per side of each view."""
VIEWS: Final = ((0.6, 0.35), (0.6 + pi / 2, 0.35))
"""Azimuth and elevation of the cameras, in radians."""


def scatter_plots(clouds: Tensor) -> ImageArray:
    """Images of clouds (B, N, 3) of the unit ball, both views side by side: uint8 (B, SIDE, 2 SIDE, 3).

    >>> import torch
    >>> scatter_plots(torch.zeros(2, 5, 3)).shape
    (2, 140, 280, 3)
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2 * SIDE / 100, SIDE / 100), dpi=100)
    canvas, images, dots = FigureCanvasAgg(figure), [], []
    for number in range(len(VIEWS)):
        axes = figure.add_axes((number / len(VIEWS), 0, 1 / len(VIEWS), 1))
        axes.set(xlim=(-1.02, 1.02), ylim=(-1.02, 1.02), aspect="equal")
        axes.set_axis_off()
        dots.append(axes.scatter([], [], c=[], cmap="plasma", s=3, vmin=-1, vmax=1.2, linewidths=0))
    for cloud in clouds.detach().cpu().numpy():
        for scatter, (azimuth, elevation) in zip(dots, VIEWS, strict=True):
            seen = cloud @ _camera(azimuth, elevation)
            seen = seen[np.argsort(seen[:, 2])]  # far points first
            scatter.set_offsets(seen[:, :2])
            scatter.set_array(seen[:, 2])
        canvas.draw()  # type: ignore[no-untyped-call]
        pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
        images.append(pixels[..., :3].copy())
    return np.stack(images)


def _camera(azimuth: float, elevation: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Columns: to the right, up, towards the viewer, where z is up in the world."""
    c, s, ce, se = cos(azimuth), sin(azimuth), cos(elevation), sin(elevation)
    return np.array([[-s, -c * se, c * ce], [c, -s * se, s * ce], [0.0, ce, se]])


def save_sheet(path: Path, clouds: Tensor, reconstructions: Tensor) -> None:
    """Write clouds (B, N, 3) in a row, their reconstructions below, as PNG.

    >>> import tempfile, torch
    >>> save_sheet(Path(tempfile.mkdtemp()) / "a.png", torch.zeros(2, 5, 3), torch.zeros(2, 4, 3))
    """
    images = np.concatenate([scatter_plots(clouds), scatter_plots(reconstructions)])
    save_png(contact_sheet(images, columns=len(clouds)), path)
