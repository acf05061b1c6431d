"""The five solids of the built-in scenes: where a ray enters each, and which way its surface faces there.

Every solid lives in its own frame, about one unit in radius, and a ray is ``o + t d`` with ``d`` of any
length, so ``t`` needs no conversion when an object is turned and scaled. Four solids are convex: each is a
cut of slabs and quadrics, a ray is inside each of those for one interval of t, and it is inside the solid
where the intervals overlap. The torus is walked instead, by its distance function.
"""

from __future__ import annotations

import math
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

# Always float32: the stubs alone take its product with a Python float for float64.
Floats: TypeAlias = npt.NDArray[np.floating[Any]]
Vector: TypeAlias = tuple[Floats, Floats, Floats]

SHAPES: Final[tuple[str, ...]] = ("sphere", "cube", "cylinder", "cone", "torus")
SPHERE, CUBE, CYLINDER, CONE, TORUS = range(5)

CUBE_HALF: Final = 0.80
CYLINDER_RADIUS: Final = 0.70
CYLINDER_HALF: Final = 0.95
CONE_RADIUS: Final = 0.98
CONE_HALF: Final = 0.98
TORUS_RADIUS: Final = 0.82
TORUS_TUBE: Final = 0.31
BEVEL: Final = 0.07

# Radius of the sphere about each frame's origin that holds the solid, in the order of SHAPES.
BOUNDS: Final = np.array(
    [
        1.0,
        math.sqrt(3) * CUBE_HALF,
        math.hypot(CYLINDER_RADIUS, CYLINDER_HALF),
        math.hypot(CONE_RADIUS, CONE_HALF),
        TORUS_RADIUS + TORUS_TUBE,
    ]
)
_MISS: Final = np.inf
_TINY: Final = 1e-7
_WALK_STEPS: Final = 22


def intersect(shape: int, o: Vector, d: Vector) -> Floats:
    """Find where rays that start outside a solid enter it.

    Args:
        shape: Position in ``SHAPES``.
        o: Origins in the solid's frame, three arrays (n,).
        d: Directions in the solid's frame, of any length, three arrays (n,).

    Returns:
        The ray parameter t > 0 of the first hit, (n,); ``inf`` where the ray misses.

    >>> one = np.ones(1, np.float32)
    >>> intersect(SPHERE, (0 * one, 0 * one, 3 * one), (0 * one, 0 * one, -one)).tolist()
    [2.0]
    """
    if shape == TORUS:
        return _walk_torus(o, d)
    if shape == SPHERE:
        enter, leave = _quadric(dot(d, d), dot(o, d), dot(o, o) - 1)
    elif shape == CUBE:
        (x0, x1), (y0, y1), (z0, z1) = (_slab(p, q, CUBE_HALF) for p, q in zip(o, d, strict=True))
        enter, leave = np.maximum(np.maximum(x0, y0), z0), np.minimum(np.minimum(x1, y1), z1)
    elif shape == CYLINDER:
        enter, leave = _overlap(_slab(o[2], d[2], CYLINDER_HALF), _tube(o, d))
    else:
        enter, leave = _overlap(_slab(o[2], d[2], CONE_HALF), _cone(o, d))
    return np.where((enter < leave) & (enter > 0), enter, _MISS)


def normal(shape: int, p: Vector) -> Vector:
    """Outward unit normals at surface points; edges are rounded off a little, as if bevelled.

    Args:
        shape: Position in ``SHAPES``.
        p: Points on the surface in the solid's frame, three arrays (n,).

    >>> one = np.ones(1, np.float32)
    >>> [float(c[0]) for c in normal(SPHERE, (0 * one, one, 0 * one))]
    [0.0, 1.0, 0.0]
    """
    x, y, z = p
    if shape == SPHERE:
        return _unit(p)
    if shape == CUBE:
        inner = CUBE_HALF - BEVEL
        return _unit((_beyond(x, inner), _beyond(y, inner), _beyond(z, inner)))
    radius = np.sqrt(x * x + y * y) + _TINY
    if shape == CYLINDER:
        side = np.maximum(radius - (CYLINDER_RADIUS - BEVEL), _TINY) / radius
        return _unit((x * side, y * side, _beyond(z, CYLINDER_HALF - BEVEL)))
    if shape == CONE:
        return _unit(_cone_normal(x, y, z, radius))
    ring = 1 - TORUS_RADIUS / radius
    return _unit((x * ring, y * ring, z))


def dot(a: Vector, b: Vector) -> Floats:
    """Scalar products of two arrays of vectors."""
    product: Floats = a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
    return product


def _unit(v: Vector) -> Vector:
    scale = 1 / np.sqrt(np.maximum(dot(v, v), _TINY * _TINY))
    return v[0] * scale, v[1] * scale, v[2] * scale


def _beyond(x: Floats, inner: float) -> Floats:
    """How far |x| exceeds ``inner``, with the sign of x: zero on a face's flat, growing across its bevel."""
    return x - np.clip(x, -inner, inner)


def _overlap(a: tuple[Floats, Floats], b: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    return np.maximum(a[0], b[0]), np.minimum(a[1], b[1])


def _slab(o: Floats, d: Floats, half: float) -> tuple[Floats, Floats]:
    """The interval of t in which -half < o + t d < half."""
    inverse = 1 / np.where(np.abs(d) < _TINY, _TINY, d)
    middle, reach = -o * inverse, np.abs(inverse) * half
    return middle - reach, middle + reach


def _quadric(a: Floats, b: Floats, c: Floats) -> tuple[Floats, Floats]:
    """The interval in which a t^2 + 2 b t + c < 0, for a > 0; empty (inf, -inf) if there is none."""
    root = b * b - a * c
    real = root > 0
    root = np.sqrt(np.maximum(root, 0))
    inverse = 1 / np.maximum(a, _TINY)
    return np.where(real, (-b - root) * inverse, _MISS), np.where(real, (root - b) * inverse, -_MISS)


def _tube(o: Vector, d: Vector) -> tuple[Floats, Floats]:
    """The interval inside the endless cylinder x^2 + y^2 < r^2."""
    a = d[0] * d[0] + d[1] * d[1]
    b = o[0] * d[0] + o[1] * d[1]
    return _quadric(a, b, o[0] * o[0] + o[1] * o[1] - CYLINDER_RADIUS**2)


def _cone(o: Vector, d: Vector) -> tuple[Floats, Floats]:
    """The interval inside the endless cone below its apex: x^2 + y^2 < k^2 (apex - z)^2 and z < apex.

    A ray flatter than the cone's side (a > 0) is inside between the roots; a steeper one (a < 0) is inside
    one nappe before the lower root and the other after the upper, and the nappe below the apex is the one it
    runs down into.
    """
    k2 = (CONE_RADIUS / (2 * CONE_HALF)) ** 2
    w = o[2] - CONE_HALF
    a = d[0] * d[0] + d[1] * d[1] - k2 * d[2] * d[2]
    a = np.where(np.abs(a) < _TINY, _TINY, a)
    b = o[0] * d[0] + o[1] * d[1] - k2 * w * d[2]
    c = o[0] * o[0] + o[1] * o[1] - k2 * w * w
    root = b * b - a * c
    real = root > 0
    root = np.sqrt(np.maximum(root, 0))
    first, second = (-b - root) / a, (root - b) / a
    low, high = np.minimum(first, second), np.maximum(first, second)
    steep, down = a < 0, d[2] < 0
    enter = np.where(steep, np.where(down, high, -_MISS), low)
    leave = np.where(steep, np.where(down, _MISS, low), high)
    return np.where(real, enter, _MISS), np.where(real, leave, -_MISS)


def _cone_normal(x: Floats, y: Floats, z: Floats, radius: Floats) -> Vector:
    slope = CONE_RADIUS / (2 * CONE_HALF)
    on_base = z < -CONE_HALF + 1e-3
    side = np.where(on_base, 0, 1 / radius)
    return x * side, y * side, np.where(on_base, np.float32(-1), np.float32(slope))


def _walk_torus(o: Vector, d: Vector) -> Floats:
    """Step along each ray by its distance to the torus (Hart, 1996, "Sphere tracing")."""
    length = np.sqrt(dot(d, d))
    inverse = 1 / length
    enter, leave = _slab(o[2], d[2], TORUS_TUBE)
    t = np.maximum(enter, 0)
    x, y, z = (p + t * q for p, q in zip(o, d, strict=True))
    ux, uy, uz = (q * inverse for q in d)
    walked = np.zeros_like(t)
    gap = walked
    for _ in range(_WALK_STEPS):
        px, py, pz = x + walked * ux, y + walked * uy, z + walked * uz
        ring = np.sqrt(px * px + py * py) - TORUS_RADIUS
        gap = np.sqrt(ring * ring + pz * pz) - TORUS_TUBE
        walked = walked + gap
    t = t + walked * inverse
    return np.where((gap < 4e-3) & (t < leave + 1e-3) & (t > 0), t, _MISS)
