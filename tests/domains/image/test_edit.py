"""Editing: bytes beyond the seam are the image's, what is drawn is the prior's, and any size works."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.domains.image.edit import EditConfig, blend_weights, box_mask, edit, outpainted
from gridcode.errors import GridcodeError
from gridcode.prior.config import MaskGITConfig, TokenSpace
from gridcode.prior.maskgit import MaskGIT
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.quantize.config import FSQConfig
from gridcode.tasks.generate import Generator
from gridcode.tokenizer.model import Tokenizer

F, GRID = 2, (4, 6)


@pytest.fixture(scope="module")
def generator() -> Generator:
    torch.manual_seed(0)
    config = TokenizerConfig(
        quantizer=FSQConfig(levels=(4, 3)), widths=(8, 8), encoder_blocks=1, decoder_blocks=1, patch=1
    )
    tokenizer = Tokenizer(config).eval()
    space = TokenSpace(12, GRID, ("a", "b"), tokenizer.weights_hash(), {})
    prior = MaskGIT(MaskGITConfig(width=16, depth=1, heads=2, mlp=32), space).eval()
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    # In float64: the first of three and one alone draw the same tokens, however products of their shapes are rounded.
    return Generator(prior.double(), tokenizer)


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


FAST = EditConfig(sampler=SamplerConfig(steps=3))


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 25),
    width=st.integers(1, 25),
    corner=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    seam=st.integers(0, 5),
)
def test_bytes_beyond_the_seam_are_the_images(
    generator: Generator, height: int, width: int, corner: tuple[float, float], size: tuple[int, int], seam: int
) -> None:
    picture = photo(height, width)
    y, x = int(corner[0] * (height - 1)), int(corner[1] * (width - 1))
    mask = np.zeros((height, width), dtype=bool)
    mask[y : y + size[0], x : x + size[1]] = True
    edited = edit(generator, picture, mask, count=2, config=EditConfig(sampler=SamplerConfig(steps=2), seam=seam))
    assert edited.shape == (2, height, width, 3)
    near = np.zeros_like(mask)
    near[max(0, y - seam) : y + size[0] + seam, max(0, x - seam) : x + size[1] + seam] = True
    assert np.array_equal(edited[:, ~near], np.stack([picture[~near]] * 2))


def test_the_mask_itself_shows_decoded_tokens_alone(generator: Generator) -> None:
    mask = np.zeros((8, 12), dtype=bool)
    mask[2:6, 4:10] = True
    bright, dark = photo(8, 12), photo(8, 12)
    dark[2:6, 4:10] = 0
    # With every token near it hidden, what was under the mask cannot matter, except to the encoder's neighbourhood.
    assert not np.array_equal(edit(generator, bright, mask, config=FAST)[0][mask], bright[mask])
    everything = np.ones((8, 12), dtype=bool)
    assert np.array_equal(
        edit(generator, bright, everything, config=FAST), edit(generator, dark, everything, config=FAST)
    )


def test_editing_everything_is_sampling(generator: Generator) -> None:
    edited = edit(generator, photo(8, 12), np.ones((8, 12), dtype=bool), label=1, count=2, config=FAST)
    tokens = generator.tokenizer.encode(torch.from_numpy(edited).permute(0, 3, 1, 2).float() / 127.5 - 1)
    assert tokens.shape == (2, *GRID)
    assert not np.array_equal(edited[0], edited[1])


def test_seeds_and_classes_count(generator: Generator) -> None:
    picture, mask = photo(20, 31), box_mask(20, 31, (5, 4, 28, 17))
    one, same, other, labelled = (
        edit(generator, picture, mask, label=label, config=EditConfig(sampler=SamplerConfig(steps=3), seed=seed))
        for label, seed in ((0, 0), (0, 0), (0, 1), (1, 0))
    )
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one, labelled)
    variants = edit(generator, picture, mask, label=0, count=3, config=EditConfig(sampler=SamplerConfig(steps=3)))
    alone = edit(generator, picture, mask, label=0, config=EditConfig(sampler=SamplerConfig(steps=3)))
    assert np.abs(variants[0].astype(int) - alone[0]).max() <= 1, "the first of three is the first of one"
    assert not np.array_equal(variants[0], variants[1])


def test_weights_fall_with_the_distance() -> None:
    alpha = blend_weights(box_mask(9, 9, (4, 4, 5, 5)), seam=3)
    for y in range(9):
        for x in range(9):
            k = max(abs(y - 4), abs(x - 4))
            expected = (1 + np.cos(np.pi * k / 4)) / 2 if k <= 3 else 0
            assert alpha[y, x] == pytest.approx(expected, abs=1e-7)
    hard = blend_weights(box_mask(9, 9, (4, 4, 5, 5)), seam=0)
    assert hard.sum() == 1


def test_outpainting_keeps_the_image_and_fills_the_rest(generator: Generator) -> None:
    picture = photo(10, 12)
    canvas, mask = outpainted(picture, left=3, top=0, right=8, bottom=5)
    assert canvas.shape == (15, 23, 3)
    assert np.array_equal(canvas[:10, 3:15], picture)
    edited = edit(generator, canvas, mask, config=FAST)[0]
    inner = edited[: 10 - F, 3 + F : 15 - F]
    assert np.array_equal(inner, picture[: 10 - F, F : 12 - F])


@pytest.mark.parametrize(
    ("picture", "mask", "settings", "message"),
    [
        (photo(8, 12), np.zeros((8, 12), bool), {}, "the mask is empty: mark at least one pixel"),
        (photo(8, 12), np.ones((8, 11), bool), {}, r"the mask has shape \(8, 11\) .* the image \(8, 12\)"),
        (photo(8, 12)[..., :1], np.ones((8, 12), bool), {}, r"takes uint8 images \(H, W, 3\), got uint8 "),
        (photo(8, 12), np.ones((8, 12), bool), {"label": 2}, "label 2 is not one of the prior's 2 classes"),
        (photo(8, 12), np.ones((8, 12), bool), {"count": 0}, "count must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_edited_is_refused(
    generator: Generator, picture: np.ndarray, mask: np.ndarray, settings: dict[str, int], message: str
) -> None:
    with pytest.raises(GridcodeError, match=message):
        edit(generator, picture, mask, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("box", [(0, 0, 13, 4), (-1, 0, 4, 4), (4, 4, 4, 6), (5, 0, 4, 6)])
def test_boxes_outside_are_refused(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(GridcodeError, match="does not lie in the image"):
        box_mask(8, 12, box)
    with pytest.raises(GridcodeError, match="outpainting adds pixels at a side"):
        outpainted(photo(4, 4), left=0, top=0, right=0, bottom=0)
    with pytest.raises(GridcodeError, match="guidance and seam must be >= 0"):
        EditConfig(seam=-1)
