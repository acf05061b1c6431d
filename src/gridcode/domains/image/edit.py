"""Editing: some pixels are forgotten and drawn again by the prior, from what is around them and a class.

    image ──encode──> tokens ──hide those that the edit touches──> prior fills them ──decode──> new pixels
       │                                                                                             │
       └────────────────────────> blend: alpha · new + (1 - alpha) · old <────────────────────────────┘

alpha is 1 on the pixels to be edited and falls to 0 within ``seam`` pixels of them (a raised cosine of the distance).
Where it is 0 the result has the image's own bytes. Every token that has a pixel with alpha > 0 is drawn again, so the
edited box grows by about one token; sampling starts at a sixth of its steps, since much is known already.

A prior knows one size of grid. An image of another size is worked on in windows of that size, which overlap by half:
the window with the most known tokens comes first, so that outpainting grows from the image outwards.

Reference: Chang et al., "MaskGIT", 2022, section 4.4, and its published inference code (grown box, step 2 of 12,
blurred seam).

Differs from paper: the blend is by distance instead of a blurred mask, so that what lies outside it is bit-identical;
sizes other than the prior's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from gridcode.errors import GridcodeError
from gridcode.prior.noise import Noise
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.tasks.generate import Generator
from gridcode.training.fabric import fast_autocast

Pixels = NDArray[np.uint8]

START_SHARE = 1 / 6
"""Share of the sampling steps that are left out at the start: step 2 of 12."""


@dataclass(frozen=True)
class EditConfig:
    """How an image is edited.

    Attributes:
        sampler: How hidden tokens are filled.
        guidance: Classifier-free guidance scale.
        seam: Pixels around the edited ones within which new and old are blended; the token's side where None.
        seed: Same seed, same images; a variant depends on its number, not on how many there are.
    """

    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    guidance: float = 0.2
    seam: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be blended."""
        if not self.guidance >= 0 or (self.seam is not None and self.seam < 0):
            raise GridcodeError(f"guidance and seam must be >= 0, got {self.guidance} and {self.seam}")


def edit(
    generator: Generator,
    image: Pixels,
    mask: NDArray[np.bool_],
    *,
    label: int = -1,
    count: int = 1,
    config: EditConfig | None = None,
) -> Pixels:
    """Draw some pixels of an image again.

    Args:
        generator: A masked prior and its tokenizer.
        image: uint8, (H, W, C), of any size.
        mask: (H, W), True where pixels are to be replaced.
        label: The class of what is drawn; -1 for none.
        count: Variants.
        config: Sampler, guidance, seam, seed.

    Returns:
        uint8, (count, H, W, C); the image's own bytes beyond the seam.

    Raises:
        GridcodeError: Image and mask do not fit each other or the tokenizer, nothing is to be edited, or the class
            does not exist.

    >>> from gridcode.prior import MaskGIT, MaskGITConfig, TokenSpace
    >>> from gridcode.domains.image import TokenizerConfig
    >>> from gridcode.tokenizer import Tokenizer
    >>> from gridcode.quantize.config import FSQConfig
    >>> tokenizer = Tokenizer(TokenizerConfig(quantizer=FSQConfig((8, 6, 5)), widths=(8, 16))).eval()
    >>> space = TokenSpace(240, (4, 4), classes=(), tokenizer=tokenizer.weights_hash(), data={})
    >>> prior = MaskGIT(MaskGITConfig(width=16, depth=1, heads=2, mlp=32), space).eval()
    >>> image, mask = np.zeros((10, 13, 3), np.uint8), np.zeros((10, 13), bool)
    >>> mask[2:4, 2:4] = True
    >>> edit(Generator(prior, tokenizer), image, mask, count=2).shape
    (2, 10, 13, 3)
    """
    settings, tokenizer = config or EditConfig(), generator.tokenizer
    _check(generator, image, mask, label=label, count=count)
    f = tokenizer.config.downsampling
    alpha = blend_weights(mask, seam=f if settings.seam is None else settings.seam)
    padded, touched = _padded(generator, image, alpha > 0)
    tokens = tokenizer.encode(padded.to(generator.device)).repeat(
        count, *[1] * (2 + len(generator.prior.space.grid[2:]))
    )
    cells = F.max_pool2d(touched[None].float(), f)[0] > 0
    filled = _fill_windows(generator, tokens, cells.to(tokens.device), label=label, settings=settings)
    new = tokenizer.decode(filled).cpu().permute(0, 2, 3, 1).numpy()[:, : image.shape[0], : image.shape[1]]
    new = (new + 1) * 127.5
    blended = alpha[..., None] * new + (1 - alpha[..., None]) * image
    # Not by rounding: beyond the seam the bytes are the image's.
    out: Pixels = np.where(alpha[..., None] > 0, np.clip(np.rint(blended), 0, 255), image).astype(np.uint8)
    return out


def outpainted(image: Pixels, *, left: int, top: int, right: int, bottom: int) -> tuple[Pixels, NDArray[np.bool_]]:
    """A larger canvas, for :func:`edit` to fill.

    Args:
        image: uint8, (H, W, C).
        left: Pixels to add, as the others.
        top: See ``left``.
        right: See ``left``.
        bottom: See ``left``.

    Returns:
        The canvas (H + top + bottom, W + left + right, C), the image's edges drawn out, and the mask of what is new.

    >>> canvas, mask = outpainted(np.zeros((4, 4, 3), np.uint8), left=0, top=1, right=2, bottom=0)
    >>> canvas.shape, int(mask.sum())
    ((5, 6, 3), 14)
    """
    if min(left, top, right, bottom) < 0 or max(left, top, right, bottom) == 0:
        raise GridcodeError(
            f"outpainting adds pixels at a side at least, got left, top, right, bottom {left}, {top}, {right}, {bottom}"
        )
    canvas = np.pad(image, ((top, bottom), (left, right), (0, 0)), mode="edge")
    mask = np.ones(canvas.shape[:2], dtype=bool)
    mask[top : top + image.shape[0], left : left + image.shape[1]] = False
    return canvas, mask


def box_mask(height: int, width: int, box: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    """The mask of a box (x0, y0, x1, y1), x1 and y1 excluded, in pixels from the top left corner.

    >>> int(box_mask(10, 10, (2, 3, 5, 5)).sum())
    6
    """
    x0, y0, x1, y1 = box
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise GridcodeError(
            f"the box {x0},{y0},{x1},{y1} does not lie in the image: it needs 0 <= x0 < x1 <= {width} and "
            f"0 <= y0 < y1 <= {height}"
        )
    mask = np.zeros((height, width), dtype=bool)
    mask[y0:y1, x0:x1] = True
    return mask


def blend_weights(mask: NDArray[np.bool_], *, seam: int) -> NDArray[np.float32]:
    """How much of the new image each pixel gets: 1 on the mask, falling to 0 beyond ``seam`` pixels of it.

    Args:
        mask: (H, W).
        seam: Pixels; distance is the larger of the horizontal and the vertical one.

    Returns:
        (H, W) float32; at distance k it is (1 + cos(pi k / (seam + 1))) / 2.
    """
    reached = torch.from_numpy(mask)[None].float()
    alpha = reached.clone()
    for k in range(1, seam + 1):
        reached = F.max_pool2d(reached, 3, stride=1, padding=1)
        alpha = torch.maximum(alpha, reached * (1 + math.cos(math.pi * k / (seam + 1))) / 2)
    weights: NDArray[np.float32] = alpha[0].numpy()
    return weights


def _padded(generator: Generator, image: Pixels, touched: NDArray[np.bool_]) -> tuple[Tensor, Tensor]:
    """Image (1, C, H', W') in [-1, 1] and mask (1, H', W') bool, drawn out to whole tokens and windows."""
    f, (h, w) = generator.tokenizer.config.downsampling, generator.prior.space.grid[:2]
    sides = [max(-(-side // f), least) * f for side, least in zip(touched.shape, (h, w), strict=True)]
    more = [(0, wanted - side) for wanted, side in zip(sides, touched.shape, strict=True)]
    pixels = np.pad(image, (*more, (0, 0)), mode="edge")
    padded = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1
    return padded, torch.from_numpy(np.pad(touched, more))[None]


def _fill_windows(generator: Generator, tokens: Tensor, cells: Tensor, *, label: int, settings: EditConfig) -> Tensor:
    """Tokens (B, H, W[, q]) with those of the cells (1, H, W) bool drawn again, window by window."""
    prior, (h, w) = generator.prior, generator.prior.space.grid[:2]
    hidden = cells[0].clone()
    tokens = tokens.masked_fill(hidden.view(1, *hidden.shape, *[1] * (tokens.ndim - 3)), prior.mask)
    labels = torch.full((len(tokens),), label, device=tokens.device)
    noise, windows = Noise.of_examples(settings.seed, torch.arange(len(tokens), device=tokens.device)), 0
    first = int(settings.sampler.steps * START_SHARE)
    while hidden.any():
        y, x = _next_window(hidden, h, w)
        window = (slice(None), slice(y, y + h), slice(x, x + w))
        part = tokens[window].reshape(len(tokens), -1)
        # With nothing known there is no head start.
        start = first if bool((part != prior.mask).any()) else 0
        with fast_autocast(tokens.device):
            part = prior.fill(
                part,
                labels,
                config=settings.sampler,
                guidance=settings.guidance,
                noise=noise.fold(windows),
                start=start,
            )
        windows += 1
        tokens[window] = part.view(tokens[window].shape)
        hidden[window[1:]] = False
    return tokens


def _next_window(hidden: Tensor, h: int, w: int) -> tuple[int, int]:
    """The corner of the window with something hidden and the most known; windows overlap by half."""
    corners = [
        sorted({*range(0, side - size + 1, max(1, size // 2)), side - size})
        for side, size in zip(hidden.shape, (h, w), strict=True)
    ]
    counts = {(y, x): int(hidden[y : y + h, x : x + w].sum()) for y in corners[0] for x in corners[1]}
    return min((corner for corner, count in counts.items() if count), key=lambda corner: counts[corner])


def _check(generator: Generator, image: Pixels, mask: NDArray[np.bool_], *, label: int, count: int) -> None:
    channels, classes = generator.tokenizer.config.channels, len(generator.prior.space.classes)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != channels:
        raise GridcodeError(
            f"editing takes uint8 images (H, W, {channels}), got {image.dtype} {image.shape}; convert them"
        )
    if mask.shape != image.shape[:2] or mask.dtype != np.bool_:
        raise GridcodeError(
            f"the mask has shape {mask.shape} and dtype {mask.dtype}, the image {image.shape[:2]}: give a mask "
            "of the image's size"
        )
    if not mask.any():
        raise GridcodeError("the mask is empty: mark at least one pixel to edit")
    if not -1 <= label < classes:
        raise GridcodeError(f"label {label} is not one of the prior's {classes} classes, nor -1 for none")
    if count < 1:
        raise GridcodeError(f"count must be at least 1, got {count}")
