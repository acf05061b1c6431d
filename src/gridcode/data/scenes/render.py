"""Images of the built-in scenes: light on floor and objects, shadows, and the way to sRGB bytes.

Light is linear until the end. Matte light is (ambient + sun n.l visible) colour; objects add a highlight and
a faint mirror image of floor and horizon, and the floor darkens where objects hide the sky. The nine rays of
a pixel are averaged; depth and labels come from the middle ray alone, which goes through the pixel's centre,
and are never blended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from gridcode.data.scenes.layout import MAX_OBJECTS, Layout
from gridcode.data.scenes.shapes import Floats, Vector, dot
from gridcode.data.scenes.trace import (
    FAR,
    GROUND,
    RAYS,
    SKY,
    Booleans,
    Group,
    Hits,
    View,
    groups_of,
    light_points,
    lit,
    surface_points,
    trace,
)

_MIDDLE: Final = RAYS // 2
_SUN: Final = np.array([1.30, 1.21, 1.08], dtype=np.float32)
_AMBIENT: Final = np.array([0.27, 0.30, 0.36], dtype=np.float32)
_HAZE: Final = 12.5
_TONES: Final = 4095
_WHITE: Final = 2.0

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class Rendering:
    """What the camera sees.

    Attributes:
        rgb: (S, H, W, 3) uint8, sRGB.
        depth: Depth along the optical axis at pixel centres, (S, H, W) float32 metres; 0 for the sky.
        owner: What pixel centres show, (S, H, W) int8: 1 + slot of an object, ``GROUND`` or ``SKY``.
    """

    rgb: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32]
    owner: npt.NDArray[np.int8]


def render(layout: Layout, size: int) -> Rendering:
    """Render S scenes at ``size`` x ``size`` pixels.

    >>> from gridcode.data.scenes.layout import draw_layout
    >>> render(draw_layout(0, np.arange(2)), 16).rgb.shape
    (2, 16, 16, 3)
    """
    count = len(layout.pitch)
    groups = groups_of(layout)
    view, hits = trace(layout, groups, size)
    points, lights = surface_points(view, hits), light_points(layout)
    reached = lit(groups, view, points, lights)
    light = _floor_light(layout, view, points, reached)
    objects = np.zeros((3, *view.t.shape), dtype=np.float32)
    for group, hit in zip(groups, hits, strict=True):
        objects.reshape(3, -1)[:, hit.ray] = _object_light(layout, group, hit, view, points[2], reached, lights)
    light += _average(objects.reshape(3 * count, -1)).reshape(3, count, -1)
    depth = _middle(view.t)
    return Rendering(
        rgb=_develop(light).transpose(1, 2, 0).reshape(count, size, size, 3),
        depth=np.where(depth < np.inf, depth, 0).astype(np.float32).reshape(count, size, size),
        owner=_middle(view.owner).reshape(count, size, size).copy(),
    )


def _average(values: Floats | Booleans) -> Floats:
    """Mean over the rays of a pixel, (S, 9 P) -> (S, P)."""
    total: Floats = values.reshape(len(values), RAYS, -1).sum(axis=1, dtype=np.float32)
    return total * (1 / RAYS)


def _middle(values: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    """The ray through the pixel's centre, (S, 9 P) -> (S, P)."""
    return values.reshape(len(values), RAYS, -1)[:, _MIDDLE]


def _floor_light(layout: Layout, view: View, points: Vector, reached: Booleans) -> Floats:
    """Light from floor and sky, (3, S, P).

    The floor's colour is a blend a + w (b - a), so only the light and the light times w are averaged over a
    pixel's rays; what changes slowly (the open share of the sky, the haze, the sky's own colour) is found
    once a pixel.
    """
    ground = view.owner == GROUND
    weight = ground * _tiles(layout, points)
    plain, plain_weight = _average(ground), _average(weight)
    sunny, sunny_weight = _average(ground & reached), _average(weight * reached)
    sky = _average(view.owner == SKY)
    distance = np.minimum(_middle(view.floor_t), FAR)
    opening = _open_sky(layout, view, distance)
    haze = distance * distance / (distance * distance + _HAZE * _HAZE)
    rise = np.clip(_middle(view.d[2]) * 4.5, 0.0, 1.0)
    slope = layout.light[:, 2:].astype(np.float32)
    light = np.empty((3, *plain.shape), dtype=np.float32)
    for channel in range(3):
        near, far = (layout.floor[:, tile, channel, None].astype(np.float32) for tile in range(2))
        horizon, zenith = (part[:, channel, None].astype(np.float32) for part in (layout.horizon, layout.zenith))
        ambient, sun = opening * _AMBIENT[channel], slope * _SUN[channel]
        floor = near * (plain * ambient + sunny * sun) + (far - near) * (plain_weight * ambient + sunny_weight * sun)
        floor += haze * (0.8 * horizon * plain - floor)
        light[channel] = floor + sky * (horizon + rise * (zenith - horizon))
    return light


def _tiles(layout: Layout, points: Vector) -> Floats:
    """Weight of the floor's second colour, a chequer with soft edges, (S, 9 P)."""
    along, across = layout.tiles[:, :1].astype(np.float32), layout.tiles[:, 1:].astype(np.float32)
    u = along * points[0] + across * points[1]
    v = along * points[1] - across * points[0]
    # Two triangle waves of period 1; their product changes sign at every edge of a tile.
    u = np.abs(u - np.floor(u) - 0.5) - 0.25
    v = np.abs(v - np.floor(v) - 0.5) - 0.25
    return np.clip(160.0 * u * v + 0.5, 0.0, 1.0)


def _open_sky(layout: Layout, view: View, distance: Floats) -> Floats:
    """Share of the sky's light that the floor under each pixel's centre gets past the objects, (S, P)."""
    x = view.eye[:, :1] + distance * _middle(view.d[0])
    y = view.eye[:, 1:2] + distance * _middle(view.d[1])
    result = np.ones_like(x)
    for slot in range(MAX_OBJECTS):
        center = layout.center[:, slot].astype(np.float32)
        ball = np.where(layout.present[:, slot], 0.92 * layout.scale[:, slot], 0.0).astype(np.float32)[:, None]
        dx, dy, dz = x - center[:, :1], y - center[:, 1:2], center[:, 2:]
        square = dx * dx + dy * dy + dz * dz
        # A ball of radius r at distance D and height dz hides dz r^2 / D^3 of the floor's ambient light.
        result *= 1 - np.minimum(dz * ball * ball / (square * np.sqrt(square)), 0.9)
    return result


def _object_light(
    layout: Layout, group: Group, hit: Hits, view: View, height: Floats, reached: Booleans, lights: Floats
) -> Floats:
    """Light from the visible points of one group, (3, m)."""
    scene, rays = group.scene[hit.row], view.t.shape[1]
    spot = scene * RAYS + (hit.ray % rays) // (rays // RAYS)
    sun = (
        lights[..., 0].reshape(-1)[spot],
        lights[..., 1].reshape(-1)[spot],
        lights[..., 2].reshape(-1)[spot],
    )
    see = (view.d[0].reshape(-1)[hit.ray], view.d[1].reshape(-1)[hit.ray], view.d[2].reshape(-1)[hit.ray])
    n = hit.normal
    length = np.sqrt(dot(see, see))
    facing = dot(n, see) / length
    mirrored = (
        see[0] / length - 2 * facing * n[0],
        see[1] / length - 2 * facing * n[1],
        see[2] / length - 2 * facing * n[2],
    )
    visible = reached.reshape(-1)[hit.ray]
    diffuse = np.maximum(dot(n, sun), 0.0) * visible
    gloss = layout.gloss[group.scene, group.slot].astype(np.float32)[hit.row]
    glint = (0.12 + 0.78 * gloss) * _sixteenth_power(np.maximum(dot(mirrored, sun), 0.0)) * visible
    grazing = 1 + facing
    mirror = (0.03 + 0.30 * grazing * grazing * grazing) * (0.25 + 0.75 * gloss)
    lifted = height.reshape(-1)[hit.ray] / group.bound[hit.row]
    contact = 0.5 + 0.5 * np.clip(lifted, 0.0, 1.0)
    upward = 0.5 + 0.5 * n[2]
    above = np.clip(0.5 + 2 * mirrored[2], 0.0, 1.0)
    light = np.empty((3, len(scene)), dtype=np.float32)
    for channel in range(3):
        color = layout.color[group.scene, group.slot, channel].astype(np.float32)[hit.row]
        floor = (0.85 * layout.floor[:, 0, channel]).astype(np.float32)[scene]
        sky = layout.horizon[:, channel].astype(np.float32)[scene]
        ambient = (floor + upward * (1 - floor)) * contact * (1.15 * float(_AMBIENT[channel]))
        shaded = floor * contact
        light[channel] = color * (ambient + diffuse * _SUN[channel]) + glint * _SUN[channel]
        light[channel] += mirror * (shaded + above * (sky - shaded))
    return light


def _sixteenth_power(x: Floats) -> Floats:
    for _ in range(4):
        x = x * x
    return x


def _tone_table() -> npt.NDArray[np.uint8]:
    """Bytes (sRGB) of light in equal steps from 0 to ``_WHITE``, with a shoulder above 0.6, not a hard clip."""
    light = np.linspace(0, _WHITE, _TONES + 1)
    knee = 0.6
    light = np.minimum(light, knee) + (1 - knee) * (1 - np.exp(-np.maximum(light - knee, 0) / (1 - knee)))
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(encoded * 255).astype(np.uint8))


_TONE: Final = _tone_table()


def _develop(light: Floats) -> npt.NDArray[np.uint8]:
    steps = np.clip(light * (_TONES / _WHITE) + 0.5, 0, _TONES)
    return np.asarray(_TONE[steps.astype(np.int32)])
