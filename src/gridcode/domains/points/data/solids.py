"""The solids of the built-in scenes as surfaces: points drawn evenly by area, and the distance of any point to them.

Solid number i of a seed has class i mod 5, and a size and a rotation of its own; no two draws of its points are alike,
so that the set is endless and every surface is known exactly. Dimensions are those of :mod:`gridcode.data.scenes`.

    distance(p) = | signed distance of R^T p / s to the solid in its own frame | · s
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import hypot, pi
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from gridcode.data.scenes import shapes
from gridcode.data.scenes.shapes import SHAPES

Cloud: TypeAlias = npt.NDArray[Any]
"""Floats, (N, 3)."""


@dataclass(frozen=True)
class Solid:
    """A solid somewhere.

    Attributes:
        shape: Position in ``SHAPES``.
        scale: Length of a unit of its own frame.
        rotation: From its own frame to the world's, (3, 3).
    """

    shape: int
    scale: float
    rotation: npt.NDArray[np.float64]

    def sample(self, count: int, generator: np.random.Generator) -> npt.NDArray[np.float32]:
        """Points on the surface, independent and evenly by area, (count, 3)."""
        own = _SAMPLERS[self.shape](count, generator)
        return (self.scale * own @ self.rotation.T).astype(np.float32)

    def distance(self, points: Cloud) -> npt.NDArray[np.float64]:
        """How far points (N, 3) are from the surface, inside or outside, (N,).

        >>> ball = Solid(0, 0.5, np.eye(3))
        >>> ball.distance(np.array([[0.0, 0.0, 0.7]])).round(3).tolist()
        [0.2]
        """
        own = np.asarray(points, np.float64) @ self.rotation / self.scale
        result: npt.NDArray[np.float64] = np.abs(_DISTANCES[self.shape](own)) * self.scale
        return result


def draw_solid(seed: int, number: int, *, rotation: str, scale: tuple[float, float]) -> Solid:
    """Solid number ``number`` of a seed.

    Args:
        seed: Which set.
        number: Which solid of it.
        rotation: "none", "upright" or "any".
        scale: Least and largest size.

    >>> draw_solid(0, 7, rotation="any", scale=(0.5, 0.6)).shape
    2
    """
    draws = np.random.default_rng((seed, number))
    size = float(draws.uniform(*scale))
    return Solid(number % len(SHAPES), size, _ROTATIONS[rotation](draws))


def _upright(draws: np.random.Generator) -> npt.NDArray[np.float64]:
    angle = draws.uniform(0, 2 * pi)
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _any(draws: np.random.Generator) -> npt.NDArray[np.float64]:
    """An even rotation, from a random unit quaternion (Shoemake 1992)."""
    w, x, y, z = (q := draws.normal(size=4)) / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


_ROTATIONS: Final[dict[str, Callable[[np.random.Generator], npt.NDArray[np.float64]]]] = {
    "none": lambda draws: np.eye(3),
    "upright": _upright,
    "any": _any,
}


def _ring(radius: Cloud | float, height: Cloud | float, count: int, draws: np.random.Generator) -> Cloud:
    """Points at random angles about the axis."""
    angle = draws.uniform(0, 2 * pi, count)
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    return np.stack([x, y, np.broadcast_to(height, (count,))], 1)


def _sphere(count: int, draws: np.random.Generator) -> Cloud:
    height = draws.uniform(-1, 1, count)
    return _ring(np.sqrt(1 - height**2), height, count, draws)


def _cube(count: int, draws: np.random.Generator) -> Cloud:
    points = draws.uniform(-1, 1, (count, 3))
    points[np.arange(count), draws.integers(3, size=count)] = draws.choice([-1.0, 1.0], count)
    return shapes.CUBE_HALF * points


def _cylinder(count: int, draws: np.random.Generator) -> Cloud:
    r, h = shapes.CYLINDER_RADIUS, shapes.CYLINDER_HALF
    side = draws.uniform(size=count) < 2 * h / (2 * h + r)  # 2 pi r 2 h beside 2 pi r^2
    disc = r * np.sqrt(draws.uniform(size=count))
    cap = draws.choice([-h, h], count)
    return _ring(np.where(side, r, disc), np.where(side, draws.uniform(-h, h, count), cap), count, draws)


def _cone(count: int, draws: np.random.Generator) -> Cloud:
    r, h = shapes.CONE_RADIUS, shapes.CONE_HALF
    slant = hypot(r, 2 * h)
    side = draws.uniform(size=count) < slant / (slant + r)  # pi r slant beside pi r^2
    radius = r * np.sqrt(draws.uniform(size=count))
    return _ring(radius, np.where(side, h - 2 * h * radius / r, -h), count, draws)


def _torus(count: int, draws: np.random.Generator) -> Cloud:
    R, r = shapes.TORUS_RADIUS, shapes.TORUS_TUBE
    angles = np.empty(0)
    while len(angles) < count:  # the density of the tube's angle is 1 + (r / R) cos
        angle, level = draws.uniform(0, 2 * pi, 2 * count), draws.uniform(0, 1 + r / R, 2 * count)
        angles = np.concatenate([angles, angle[level < 1 + r / R * np.cos(angle)]])
    angles = angles[:count]
    return _ring(R + r * np.cos(angles), r * np.sin(angles), count, draws)


_SAMPLERS: Final = (_sphere, _cube, _cylinder, _cone, _torus)


def _box_distance(beyond: Cloud) -> Cloud:
    """Signed distance to a box, from how far a point is beyond each pair of its faces, (N, k)."""
    outside: Cloud = np.linalg.norm(np.maximum(beyond, 0), axis=1)
    inside: Cloud = np.minimum(beyond.max(1), 0)
    return outside + inside


def _cone_distance(p: Cloud) -> Cloud:
    """To the triangle that is half of the cone's section, as to a polygon: the nearest of its two outer edges."""
    r, h = shapes.CONE_RADIUS, shapes.CONE_HALF
    flat = np.stack([np.hypot(p[:, 0], p[:, 1]), p[:, 2]], 1)
    edges = ((np.array([0.0, -h]), np.array([r, -h])), (np.array([r, -h]), np.array([0.0, h])))
    found = []
    for start, end in edges:
        along = end - start
        place = np.clip((flat - start) @ along / (along @ along), 0, 1)
        found.append(np.linalg.norm(flat - start - place[:, None] * along, axis=1))
    nearest: Cloud = np.minimum(*found)
    return nearest


def _cylinder_distance(p: Cloud) -> Cloud:
    sides = np.hypot(p[:, 0], p[:, 1]) - shapes.CYLINDER_RADIUS
    return _box_distance(np.stack([sides, np.abs(p[:, 2]) - shapes.CYLINDER_HALF], 1))


def _torus_distance(p: Cloud) -> Cloud:
    ring: Cloud = np.hypot(p[:, 0], p[:, 1]) - shapes.TORUS_RADIUS
    return np.hypot(ring, p[:, 2]) - shapes.TORUS_TUBE


_DISTANCES: Final[tuple[Callable[[Cloud], Any], ...]] = (
    lambda p: np.linalg.norm(p, axis=1) - 1,
    lambda p: _box_distance(np.abs(p) - shapes.CUBE_HALF),
    _cylinder_distance,
    _cone_distance,
    _torus_distance,
)
"""In the order of ``SHAPES``, each in the solid's own frame; the sign is lost where it is not needed."""
