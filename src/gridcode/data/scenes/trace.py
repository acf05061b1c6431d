"""Rays of the built-in scenes: what nine rays a pixel hit, and which of those points the light reaches.

A ray is ``eye + t d`` with d = forward + x right + y up, so t is the depth along the optical axis. The nine
rays of a pixel (3 x 3) each see the light at another point of its disc, which softens shadows at no extra
cost. Ray arrays are (S, 9 P): scenes, then for each of the nine places in a pixel all P pixels. Objects are
handled shape by shape: a cheap test against their bounding balls picks (object, ray) pairs, and only those
are intersected.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from gridcode.data.scenes import shapes as solids
from gridcode.data.scenes.layout import Layout
from gridcode.data.scenes.shapes import Floats, Vector, dot

Booleans: TypeAlias = npt.NDArray[np.bool_]
Integers: TypeAlias = npt.NDArray[np.int64]

FAR: Final = 40.0
GROUND: Final = 0
SKY: Final = -1
SIDE: Final = 3
RAYS: Final = SIDE * SIDE

_LIGHT_RADIUS: Final = 0.065
# Which of the 3 x 3 points of the light each of the 3 x 3 rays sees: neighbours see points far apart.
_LIGHT_ORDER: Final = (0, 7, 5, 8, 4, 2, 3, 1, 6)
# Metres by which points are lifted off what they lie on, or rounding would let a surface shade itself.
_LIFT: Final = 0.006


@dataclass(frozen=True)
class View:
    """The rays of S scenes and the nearest things they hit.

    Attributes:
        d: Directions, three arrays (S, 9 P).
        eye: Camera positions, (S, 3).
        t: Depth of the nearest hit, (S, 9 P) metres; inf for the sky.
        floor_t: Depth of the floor, whether seen or hidden, (S, 9 P); inf where that is beyond ``FAR``.
        owner: What is hit, (S, 9 P) int8: 1 + slot of an object, ``GROUND`` or ``SKY``.
    """

    d: Vector
    eye: Floats
    t: Floats
    floor_t: Floats
    owner: npt.NDArray[np.int8]


@dataclass(frozen=True)
class Group:
    """All n objects of one shape in a batch of scenes.

    Attributes:
        shape: Position in ``SHAPES``.
        scene: (n,). Sorted.
        slot: (n,).
        inward: Maps of world vectors to the solid's frame, (n, 3, 3).
        outward: Rotations from the solid's frame to the world, (n, 3, 3).
        center: (n, 3) metres.
        bound: Radii of the bounding balls, (n,) metres.
    """

    shape: int
    scene: Integers
    slot: Integers
    inward: Floats
    outward: Floats
    center: Floats
    bound: Floats


@dataclass(frozen=True)
class Hits:
    """The visible points of one group's objects.

    Attributes:
        ray: Flat positions in (S, 9 P), (m,).
        row: Rows of the group, (m,). Sorted.
        normal: Outward unit normals in the world, three arrays (m,).
    """

    ray: Integers
    row: Integers
    normal: Vector


def groups_of(layout: Layout) -> list[Group]:
    """The objects of some scenes by shape, in the order of ``SHAPES``.

    >>> from gridcode.data.scenes.layout import draw_layout
    >>> [len(group.scene) > 0 for group in groups_of(draw_layout(0, np.arange(5)))]
    [True, True, True, True, True]
    """
    groups = []
    for shape in range(len(solids.SHAPES)):
        scene, slot = np.nonzero(layout.present & (layout.shape == shape))
        if not len(scene):
            continue
        scale, turn = layout.scale[scene, slot], layout.rotation[scene, slot]
        groups.append(
            Group(
                shape=shape,
                scene=scene,
                slot=slot,
                inward=(turn.transpose(0, 2, 1) / scale[:, None, None]).astype(np.float32),
                outward=turn.astype(np.float32),
                center=layout.center[scene, slot].astype(np.float32),
                bound=(scale * solids.BOUNDS[shape]).astype(np.float32),
            )
        )
    return groups


def trace(layout: Layout, groups: list[Group], size: int) -> tuple[View, list[Hits]]:
    """Follow the camera's rays to what they hit first; one ``Hits`` for each group.

    >>> from gridcode.data.scenes.layout import draw_layout
    >>> layout = draw_layout(0, np.arange(2))
    >>> trace(layout, groups_of(layout), 16)[0].t.shape
    (2, 2304)
    """
    d = _camera_rays(layout, size)
    eye = layout.eye.astype(np.float32)
    floor_t = eye[:, 2:] / np.maximum(-d[2], 1e-6)
    floor_t[floor_t > FAR] = np.inf
    t = floor_t.copy()
    square = dot(d, d)
    found = [_enter(group, d, square, eye) for group in groups]
    for ray, _, hit, _ in found:
        np.minimum.at(t.reshape(-1), ray, hit)
    owner = np.where(np.isfinite(t), np.int8(GROUND), np.int8(SKY))
    hits = []
    for group, (ray, row, hit, point) in zip(groups, found, strict=True):
        front = hit == t.reshape(-1)[ray]
        ray, row = ray[front], row[front]
        owner.reshape(-1)[ray] = group.slot[row] + 1
        normal = solids.normal(group.shape, _vector(part[front] for part in point))
        hits.append(Hits(ray, row, _turn(group.outward, np.bincount(row, minlength=len(group.scene)), normal)))
    return View(d, eye, t, floor_t, owner), hits


def light_points(layout: Layout) -> Floats:
    """Unit vectors to the nine points of the light that the nine rays of a pixel see, (S, 9, 3).

    >>> from gridcode.data.scenes.layout import draw_layout
    >>> light_points(draw_layout(0, np.arange(2))).shape
    (2, 9, 3)
    """
    side = np.cross(np.array([0.0, 0.0, 1.0]), layout.light)
    side /= np.sqrt((side * side).sum(axis=1, keepdims=True))
    lift = np.cross(layout.light, side)
    # Turned by atan(1/3), the grid's points are apart along both axes: nine steps a penumbra, not three.
    grid = (np.array([divmod(k, SIDE) for k in _LIGHT_ORDER]) - 1.0) * _LIGHT_RADIUS
    spots = np.stack([grid[:, 0] - grid[:, 1] / 3, grid[:, 1] + grid[:, 0] / 3], axis=1)
    points = layout.light[:, None] + spots[:, :1] * side[:, None] + spots[:, 1:] * lift[:, None]
    points /= np.sqrt((points * points).sum(axis=2, keepdims=True))
    return np.asarray(points, dtype=np.float32)


def surface_points(view: View, hits: list[Hits]) -> Vector:
    """World positions of what the rays hit, a hair above the surface, (S, 9 P) each; the sky is ``FAR`` away.

    >>> from gridcode.data.scenes.layout import draw_layout
    >>> layout = draw_layout(0, np.arange(1))
    >>> _, _, height = surface_points(*trace(layout, groups_of(layout), 16))
    >>> bool(height[:, -1] < 1e-3)
    True
    """
    t = np.minimum(view.t, FAR)
    points = _vector(view.eye[:, axis, None] + t * view.d[axis] for axis in range(3))
    for hit in hits:
        for axis in range(3):
            points[axis].reshape(-1)[hit.ray] += _LIFT * hit.normal[axis]
    return points


def lit(groups: list[Group], view: View, points: Vector, lights: Floats) -> Booleans:
    """Whether each point sees its point of the light, (S, 9 P).

    Args:
        groups: The objects.
        view: What the rays hit.
        points: World positions, three arrays (S, 9 P).
        lights: Unit vectors towards the light, (S, 9, 3).

    >>> from gridcode.data.scenes.layout import draw_layout
    >>> layout = draw_layout(0, np.arange(1))
    >>> view, hits = trace(layout, groups_of(layout), 16)
    >>> bool(lit(groups_of(layout), view, surface_points(view, hits), light_points(layout)).all())
    False
    """
    result = np.ones(view.t.shape, dtype=np.bool_)
    for group in groups:
        n = len(group.scene)
        sun = lights[group.scene]
        away = _vector(points[axis][group.scene] - group.center[:, axis, None] for axis in range(3))
        near = _under(group, away, sun)
        if group.shape != solids.TORUS:  # a convex solid cannot shade its own lit side
            near &= view.owner[group.scene] != (group.slot + 1)[:, None]
        counts = near.reshape(n, RAYS, -1).sum(axis=2)
        ray, _ = _flat(near, group.scene)
        o = _turn(group.inward, counts.sum(axis=1), _vector(part[near] for part in away))
        turned = ((group.inward[:, None, axis] * sun).sum(axis=2) for axis in range(3))
        v = _vector(np.repeat(part.reshape(-1), counts.reshape(-1)) for part in turned)
        blocked = solids.intersect(group.shape, o, v) < np.inf
        result.reshape(-1)[ray[blocked]] = False
    return result


def _camera_rays(layout: Layout, size: int) -> Vector:
    """Directions forward + x right + y up, with right = +x."""
    count = len(layout.pitch)
    step = (np.arange(size)[None, :] + (np.arange(SIDE)[:, None] + 0.5) / SIDE) / size * 2 - 1
    across = layout.tangent[:, None, None] * step
    cosine, sine = np.cos(layout.pitch)[:, None, None], np.sin(layout.pitch)[:, None, None]

    def spread(values: npt.NDArray[np.float64]) -> Floats:
        full = np.broadcast_to(values.astype(np.float32), (count, SIDE, SIDE, size, size))
        return np.ascontiguousarray(full).reshape(count, -1)

    return (
        spread(across[:, None, :, None, :]),
        spread((cosine - across * sine)[:, :, None, :, None]),
        spread((-across * cosine - sine)[:, :, None, :, None]),
    )


def _enter(group: Group, d: Vector, square: Floats, eye: Floats) -> tuple[Integers, Integers, Floats, Vector]:
    """Flat rays that hit an object of the group, its rows, depths, and points in the solid's frame."""
    offset = eye[group.scene] - group.center
    reach = (offset * offset).sum(axis=1) - group.bound**2
    along = d[0][group.scene] * offset[:, :1]
    along += d[1][group.scene] * offset[:, 1:2]
    along += d[2][group.scene] * offset[:, 2:]
    near = along * along > square[group.scene] * reach[:, None]
    ray, row = _flat(near, group.scene)
    counts = near.sum(axis=1)
    start = (group.inward * offset[:, None]).sum(axis=2)
    o = _vector(np.repeat(start[:, axis], counts) for axis in range(3))
    v = _turn(group.inward, counts, _vector(part.reshape(-1)[ray] for part in d))
    t = solids.intersect(group.shape, o, v)
    hit = np.flatnonzero(t < np.inf)
    t = t[hit]
    return ray[hit], row[hit], t, _vector(a[hit] + t * b[hit] for a, b in zip(o, v, strict=True))


def _under(group: Group, away: Vector, sun: Floats) -> Booleans:
    """Whether the line from each point to the light may pass through the bounding ball, (n, 9 P)."""
    n, rays = away[0].shape
    split = (n, RAYS, rays // RAYS)
    along = away[0].reshape(split) * sun[:, :, :1]
    along += away[1].reshape(split) * sun[:, :, 1:2]
    along += away[2].reshape(split) * sun[:, :, 2:]
    gap = dot(away, away).reshape(split) - along * along
    near: Booleans = (gap < (group.bound * group.bound)[:, None, None]) & (along < 0)
    return near.reshape(n, rays)


def _vector(parts: Iterable[Floats]) -> Vector:
    x, y, z = parts
    return x, y, z


def _flat(near: Booleans, scene: Integers) -> tuple[Integers, Integers]:
    """Positions in (S, rays), and rows, of the true entries of (n, rays), row after row."""
    n, rays = near.shape
    row = np.repeat(np.arange(n), near.sum(axis=1))
    return np.flatnonzero(near) + ((scene - np.arange(n)) * rays)[row], row


def _turn(matrix: Floats, counts: Integers, v: Vector) -> Vector:
    """Apply matrix i of (n, 3, 3) to the i-th run of ``counts[i]`` vectors."""
    m = [[np.repeat(matrix[:, i, j], counts) for j in range(3)] for i in range(3)]
    return _vector(m[i][0] * v[0] + m[i][1] * v[1] + m[i][2] * v[2] for i in range(3))
