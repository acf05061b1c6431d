"""The built-in clips: scenes of solids on a floor in which something moves, drawn from (seed, number) alone.

==========  ===========================================================================================
turn        the camera goes round the objects, either way
fall        the objects fall to the floor, one after the other, and bounce
slide       the objects move over the floor side by side
approach    the camera moves towards the objects, or away from them
==========  ===========================================================================================

There are 8 frames per second, if not said otherwise. The scenes are those of :mod:`gridcode.data.scenes`; metres,
seconds and radians.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gridcode.data.scenes.layout import MAX_OBJECTS, Layout, draw_layout
from gridcode.data.scenes.render import render
from gridcode.training.seeding import derive_seed

MOTIONS: Final = ("turn", "fall", "slide", "approach")
FPS: Final = 8.0
_GRAVITY: Final = 4.0
_BOUNCE: Final = 0.45
"""Speed after a bounce, as a share of that before."""

Film: TypeAlias = NDArray[np.uint8]
"""uint8, (T, H, W, 3)."""
Times: TypeAlias = NDArray[np.float64]


def draw_clip(seed: int, number: int, *, frames: int, stride: int, size: int, objects: int, fps: float = FPS) -> Film:
    """Clip number ``number`` of a seed; its motion is ``MOTIONS[number % 4]``.

    Args:
        seed: Which data set.
        number: Which clip of it.
        frames: How many, T.
        stride: Every so many frames one is drawn.
        size: Side in pixels.
        objects: Most objects in the scene, 1 to 3.
        fps: Frames per second, before ``stride`` leaves some out.

    >>> draw_clip(0, 1, frames=3, stride=1, size=16, objects=1).shape
    (3, 16, 16, 3)
    """
    scene = draw_layout(seed, np.array([number]), objects=objects)
    times = np.arange(frames, dtype=np.float64) * (stride / fps)
    still = Layout(**{part.name: getattr(scene, part.name).repeat(frames, axis=0) for part in fields(Layout)})
    draws = np.random.default_rng(derive_seed(seed, MOTIONS[number % len(MOTIONS)], number))
    move = (_turn, _fall, _slide, _approach)[number % len(MOTIONS)]
    return render(move(still, times, draws), size).rgb


def _either_way(draws: np.random.Generator, least: float, most: float) -> float:
    return float(draws.uniform(least, most) * draws.choice([-1.0, 1.0]))


def _turn(scene: Layout, times: Times, draws: np.random.Generator) -> Layout:
    """Turning the camera one way about the middle is turning all else the other way: it looks along +y."""
    angle = times * _either_way(draws, 0.35, 0.8)
    c, s = np.cos(angle), np.sin(angle)
    zero, one = np.zeros_like(c), np.ones_like(c)
    about = np.stack([np.stack(row, 1) for row in ((c, -s, zero), (s, c, zero), (zero, zero, one))], 1)
    along, across = scene.tiles[:, 0], scene.tiles[:, 1]
    return replace(
        scene,
        center=np.einsum("tij,tkj->tki", about, scene.center),
        rotation=np.einsum("tij,tkjl->tkil", about, scene.rotation),
        light=np.einsum("tij,tj->ti", about, scene.light),
        tiles=np.stack([c * along - s * across, s * along + c * across], 1),
    )


def _fall(scene: Layout, times: Times, draws: np.random.Generator) -> Layout:
    centers = scene.center.copy()
    for slot in range(MAX_OBJECTS):
        centers[:, slot, 2] += _height(times - draws.uniform(0.0, 0.5), float(draws.uniform(0.6, 1.1)))
    return replace(scene, center=centers)


def _height(times: Times, start: float) -> Times:
    """Height above the floor of what is let go at time 0 from ``start``: parabolas, each of a lower speed.

    >>> _height(np.array([-1.0, 0.0, (2 * 0.5 / _GRAVITY) ** 0.5, 99.0]), 0.5).tolist()
    [0.5, 0.5, 0.0, 0.0]
    """
    landing = (2 * start / _GRAVITY) ** 0.5
    height = np.where(times < landing, start - _GRAVITY / 2 * np.maximum(times, 0) ** 2, 0.0)
    speed = _BOUNCE * _GRAVITY * landing
    while speed > 0.1:
        since = times - landing
        length = 2 * speed / _GRAVITY
        height = np.where((since > 0) & (since < length), speed * since - _GRAVITY / 2 * since**2, height)
        landing, speed = landing + length, _BOUNCE * speed
    return np.maximum(height, 0.0)


def _slide(scene: Layout, times: Times, draws: np.random.Generator) -> Layout:
    speed, aside = _either_way(draws, 0.35, 0.8), float(draws.uniform(-0.4, 0.4))
    # In the middle of two seconds they are where the scene has them.
    way = (times - 1.0)[:, None, None] * speed * np.array([np.cos(aside), np.sin(aside), 0.0])
    return replace(scene, center=scene.center + way)


def _approach(scene: Layout, times: Times, draws: np.random.Generator) -> Layout:
    speed = float(draws.uniform(0.35, 0.6))
    # Away from them it begins where it would have ended after two seconds.
    way = times * speed if draws.random() < 0.5 else (2.0 - times) * speed
    towards = np.stack([np.zeros_like(way), np.cos(scene.pitch), -np.sin(scene.pitch)], 1)
    return replace(scene, eye=scene.eye + way[:, None] * towards)
