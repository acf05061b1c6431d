"""What stands where in a built-in scene: objects, camera, light and colours, drawn from (seed, index) alone.

Every random number is a hash of (seed, index, column), so a scene does not depend on the size it is rendered
at or on its neighbours in a batch. The camera looks along +y; turning it about the vertical is the same as
turning floor, light and objects, which are drawn at any angle instead. Lengths are metres, z is up, the floor
is z = 0, colours are linear light.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from gridcode.data.scenes import shapes as solids

Array: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]

MAX_OBJECTS: Final = 3
_PLACES: Final = 24
# The least share of its bounding ball's outline that each solid fills, seen from any allowed side.
_FILL: Final = np.array([1.0, 0.5, 0.5, 0.38, 0.30])

_PALETTE: Final = (
    "#d8433b", "#ee7f2d", "#f2b632", "#5da846", "#1f9e8f", "#3aa0dc",
    "#3558c4", "#7d4bc0", "#dc5f95", "#8c5a3c", "#e9e6df", "#4a4f5a",
)  # fmt: skip
_FLOORS: Final = (
    "#d9cbb6", "#b2c0cc", "#e2cfa8", "#a3bdd8", "#b6cdb0",
    "#e0baac", "#aca3c6", "#dddcd9", "#858d96", "#c39c71",
)  # fmt: skip
_SKIES: Final = ("#e6f0f8", "#f8ead2", "#e7e2f2", "#d9ede6", "#f7ded5")
_ZENITHS: Final = ("#6fa5dc", "#dcb274", "#8f85c4", "#6fb8a8", "#dd8f7c")


@dataclass(frozen=True)
class Layout:
    """S scenes of up to three objects; slot 0 is the main one.

    Attributes:
        shape: Position in ``SHAPES``, (S, 3) int64.
        present: Whether the slot is filled, (S, 3) bool; slot 0 always is.
        center: Centres, (S, 3, 3) metres.
        scale: Metres per unit of the solid's frame, (S, 3).
        rotation: From the solid's frame to the world's, (S, 3, 3, 3).
        color: Surface colours, (S, 3, 3).
        gloss: 0 matte to 1 polished, (S, 3).
        eye: Camera positions, (S, 3).
        pitch: Downward tilt of the camera, (S,) radians.
        tangent: Tangent of half the field of view, (S,).
        light: Unit vectors towards the light, (S, 3).
        floor: The two colours of the floor's pattern, (S, 2, 3).
        tiles: Cosine and sine of the pattern's angle over the edge of a tile, (S, 2) per metre.
        horizon: Background colour at the horizon, (S, 3).
        zenith: Background colour above it, (S, 3).
    """

    shape: Integers
    present: npt.NDArray[np.bool_]
    center: Array
    scale: Array
    rotation: Array
    color: Array
    gloss: Array
    eye: Array
    pitch: Array
    tangent: Array
    light: Array
    floor: Array
    tiles: Array
    horizon: Array
    zenith: Array

    def part(self, start: int, stop: int) -> Layout:
        """Scenes ``start`` to ``stop - 1`` of these.

        >>> len(draw_layout(0, np.arange(6)).part(2, 5).pitch)
        3
        """
        return Layout(**{field.name: getattr(self, field.name)[start:stop] for field in fields(self)})


def main_shapes(seed: int, indices: Integers) -> Integers:
    """Class of each scene: each run of five indices holds the five shapes once, in an order of its own.

    >>> sorted(main_shapes(0, np.arange(5)).tolist())
    [0, 1, 2, 3, 4]
    """
    count = len(solids.SHAPES)
    draws = _Draws(seed, indices // count, stream=1)
    order = np.argsort(np.stack([draws.unit() for _ in range(count)], axis=1), axis=1)
    return np.asarray(order[np.arange(len(indices)), indices % count])


def draw_layout(seed: int, indices: Integers, *, objects: int = MAX_OBJECTS, tiles: bool = True) -> Layout:
    """Draw scenes.

    Args:
        seed: Which data set.
        indices: Which scenes of it, (S,) int64.
        objects: Most objects in a scene, 1 to 3; the others of the same scene are left out.
        tiles: Whether the floor may have a pattern.

    >>> layout = draw_layout(0, np.arange(4))
    >>> layout.center.shape, bool(layout.present[:, 0].all())
    ((4, 3, 3), True)
    """
    draws = _Draws(seed, indices, stream=0)
    wanted = np.minimum(np.searchsorted([0.34, 0.70], draws.unit()) + 1, objects)
    shape = np.stack([main_shapes(seed, indices), draws.integer(5), draws.integer(5)], axis=1)
    scale = np.stack([draws.uniform(0.53, 0.65), draws.uniform(0.22, 0.33), draws.uniform(0.20, 0.30)], axis=1)
    scale[:, 0] *= np.array([1.08, 1.0, 1.0, 1.02, 1.08])[shape[:, 0]]
    poses = [_pose(draws, shape[:, slot], scale[:, slot]) for slot in range(MAX_OBJECTS)]
    rotation = np.stack([pose[0] for pose in poses], axis=1)
    height = np.stack([pose[1] for pose in poses], axis=1)
    eye, pitch, tangent = _camera(draws, height[:, 0])
    radius = scale * solids.BOUNDS[shape]
    place, present = _place(draws, shape, radius, height, wanted, (eye, pitch, tangent))
    azimuth = draws.uniform(0.55, 1.60) * np.where(draws.unit() < 0.6, -1.0, 1.0)
    lift = draws.uniform(0.65, 1.05)
    # At azimuth 0 the light would be behind the camera; it comes from either side.
    light = np.stack([np.sin(azimuth) * np.cos(lift), -np.cos(azimuth) * np.cos(lift), np.sin(lift)], axis=1)
    floor, pattern = _floor(draws, tiles=tiles)
    sky = draws.integer(len(_SKIES))
    return Layout(
        shape=shape,
        present=present,
        center=np.concatenate([place, height[..., None]], axis=2),
        scale=scale,
        rotation=rotation,
        color=_colors(draws),
        gloss=np.stack([draws.uniform(0, 1) for _ in range(MAX_OBJECTS)], axis=1),
        eye=eye,
        pitch=pitch,
        tangent=tangent,
        light=light,
        floor=floor,
        tiles=pattern,
        horizon=_linear(_SKIES)[sky],
        zenith=_linear(_ZENITHS)[sky],
    )


class _Draws:
    """Columns of uniform numbers: SplitMix64 (Steele et al., 2014) of (seed, stream, index, column)."""

    def __init__(self, seed: int, indices: Integers, *, stream: int) -> None:
        start = _mix(np.full(1, 2 * seed + stream + 1, dtype=np.uint64))
        self._key = _mix(start + indices.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
        self._column = 0

    def unit(self) -> Array:
        """One number in [0, 1) for each index, (S,)."""
        self._column += 1
        step = np.full(1, self._column, dtype=np.uint64) * np.uint64(0xD1342543DE82EF95)
        return (_mix(self._key + step) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def uniform(self, low: float, high: float) -> Array:
        return low + (high - low) * self.unit()

    def integer(self, count: int) -> Integers:
        return (self.unit() * count).astype(np.int64)


def _mix(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _linear(colors: tuple[str, ...]) -> Array:
    """Linear light of sRGB hex colours, (n, 3)."""
    encoded = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colors])
    return np.asarray(np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4))


def _pose(draws: _Draws, shape: Integers, scale: Array) -> tuple[Array, Array]:
    """Rotations (S, 3, 3), and the height (S,) at which the turned object rests on the floor.

    A cylinder may lie on its side and a torus may stand on its rim; those are turned so that the camera does
    not look along (or, for the torus, across) the axis, which would hide what they are.
    """
    tipped = draws.unit() < np.array([0.0, 0.0, 0.3, 0.0, 0.55])[shape]
    tilt = np.where(tipped, math.pi / 2, 0.0)
    side = np.where(draws.unit() < 0.5, 0.0, math.pi)
    turn = draws.uniform(-0.85, 0.85) + side + np.where(shape == solids.TORUS, math.pi / 2, 0.0)
    yaw = np.where(tipped, turn, draws.uniform(0, 2 * math.pi))
    cy, sy, ct, st = np.cos(yaw), np.sin(yaw), np.cos(tilt), np.sin(tilt)
    zero = np.zeros_like(cy)
    # R = Rz(yaw) Ry(tilt); its last row is the world's up in the solid's frame.
    rows = [[cy * ct, -sy, cy * st], [sy * ct, cy, sy * st], [-st, zero, ct]]
    rotation = np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
    wide, tall = np.abs(st), np.abs(ct)
    rest = [
        np.ones_like(ct),
        np.full_like(ct, solids.CUBE_HALF),
        solids.CYLINDER_HALF * tall + solids.CYLINDER_RADIUS * wide,
        np.full_like(ct, solids.CONE_HALF),
        solids.TORUS_TUBE + solids.TORUS_RADIUS * wide,
    ]
    return rotation, np.stack(rest, axis=1)[np.arange(len(shape)), shape] * scale


def _camera(draws: _Draws, height: Array) -> tuple[Array, Array, Array]:
    """Eye (S, 3), pitch (S,), tangent of half the field of view (S,); aimed near the main object's middle."""
    pitch = draws.uniform(0.21, 0.56)
    tangent = draws.uniform(0.31, 0.35)
    distance = draws.uniform(3.5, 4.3)
    aim = height * draws.uniform(0.75, 1.15) + 0.05
    eye = np.stack([np.zeros_like(aim), -distance * np.cos(pitch), aim + distance * np.sin(pitch)], axis=1)
    return eye, pitch, tangent


def _project(at: Array, z: Array, camera: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
    """Image coordinates (-1 left or bottom, 1 right or top) and depth times tangent of points (x, y, z)."""
    eye, pitch, tangent = camera
    x, y, up = at[..., 0] - eye[:, 0], at[..., 1] - eye[:, 1], z - eye[:, 2]
    depth = (y * np.cos(pitch) - up * np.sin(pitch)) * tangent
    return x / depth, (y * np.sin(pitch) + up * np.cos(pitch)) / depth, depth


def _place(
    draws: _Draws,
    shape: Integers,
    radius: Array,
    height: Array,
    wanted: Integers,
    camera: tuple[Array, Array, Array],
) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Floor positions (S, 3, 2) and which slots are filled (S, 3).

    Each lesser object tries a few places and takes the first where it touches no other, stays in the image,
    neither hides nor is hidden by the rest, and looks smaller than the main object, which gives the scene its
    class. If there is no such place, it and those after it are left out.
    """
    place = np.zeros((*radius.shape, 2))
    place[:, 0] = np.stack([draws.uniform(-0.18, 0.18), draws.uniform(-0.15, 0.15)], axis=1)
    largest = radius[:, 0] / _project(place[:, 0], height[:, 0], camera)[2] * np.sqrt(_FILL[shape[:, 0]])
    present = np.zeros(radius.shape, dtype=np.bool_)
    present[:, 0] = True
    for slot in range(1, MAX_OBJECTS):
        for _ in range(_PLACES):
            angle, away = draws.uniform(0, 2 * math.pi), draws.uniform(0.75, 1.8)
            at = place[:, 0] + np.stack([np.cos(angle) * away, np.sin(angle) * away], axis=1)
            u, v, depth = _project(at, height[:, slot], camera)
            size = radius[:, slot] / depth
            good = (np.abs(u) + 0.8 * size < 1) & (np.abs(v) + 0.8 * size < 1)
            good &= (size < 0.95 * largest) & (wanted > slot) & present[:, slot - 1] & ~present[:, slot]
            for other in range(slot):
                gap = np.hypot(at[:, 0] - place[:, other, 0], at[:, 1] - place[:, other, 1])
                clear = gap > radius[:, slot] + radius[:, other] + 0.03
                ou, ov, odepth = _project(place[:, other], height[:, other], camera)
                apart = np.hypot(u - ou, v - ov) > 0.75 * (size + radius[:, other] / odepth)
                good &= ~present[:, other] | (clear & apart)
            place[good, slot] = at[good]
            present[good, slot] = True
    return place, present


def _colors(draws: _Draws) -> Array:
    """Colours of the three objects, all different within a scene, (S, 3, 3)."""
    count = len(_PALETTE)
    first, second, third = draws.integer(count), 1 + draws.integer(count - 1), 1 + draws.integer(count - 2)
    third = third + (third >= second)
    picked = np.stack([first, first + second, first + third], axis=1) % count
    return np.asarray(_linear(_PALETTE)[picked])


def _floor(draws: _Draws, *, tiles: bool) -> tuple[Array, Array]:
    base = _linear(_FLOORS)[draws.integer(len(_FLOORS))] * draws.uniform(0.85, 1.1)[:, None]
    contrast = np.maximum(draws.uniform(-0.22, 0.34), 0.0) * tiles
    angle, edge = draws.uniform(0, 2 * math.pi), draws.uniform(0.55, 0.95)
    pattern = np.stack([np.cos(angle) / (2 * edge), np.sin(angle) / (2 * edge)], axis=1)
    return np.stack([base, base * (1 - contrast)[:, None]], axis=1), pattern
