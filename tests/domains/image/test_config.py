"""A tokenizer that cannot be built or fed is refused when its settings are made."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridcode.data.config import DataConfig
from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.domains.image.config import LossConfig, TokenizerRun
from gridcode.errors import GridcodeError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"widths": ()}, "tokenizer widths must be positive multiples of 8, got ()"),
        ({"widths": (64, 12)}, "multiples of 8, got (64, 12)"),
        ({"widths": (0, 8)}, "multiples of 8, got (0, 8)"),
        ({"widths": (-8,)}, "multiples of 8, got (-8,)"),
        ({"channels": 4}, "an image has 1 or 3 channels, got channels=4"),
        ({"encoder_blocks": 0}, "tokenizer encoder_blocks must be at least 1, got 0"),
        ({"decoder_blocks": 0}, "tokenizer decoder_blocks must be at least 1, got 0"),
        ({"patch": 0}, "tokenizer patch must be at least 1, got 0"),
    ],
)
def test_shapes_that_cannot_be_built_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(GridcodeError, match=re.escape(message)):
        TokenizerConfig(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(("patch", "widths", "expected"), [(1, (8,), 1), (2, (8, 8), 4), (3, (8, 8, 8), 12)])
def test_downsampling_is_the_patch_doubled_per_stage(patch: int, widths: tuple[int, ...], expected: int) -> None:
    assert TokenizerConfig(patch=patch, widths=widths).downsampling == expected


@given(height=st.integers(0, 70), width=st.integers(0, 70))
def test_a_grid_covers_the_image_or_is_refused_with_one_that_would(height: int, width: int) -> None:
    config = TokenizerConfig(patch=2, widths=(8, 16, 16))
    if height and width and height % 8 == width % 8 == 0:
        assert config.grid(height, width) == (height // 8, width // 8)
        return
    with pytest.raises(GridcodeError, match=f"multiples of 8 .* got {height}x{width}") as caught:
        config.grid(height, width)
    near = re.search(r"resize or crop to (\d+)x(\d+)", str(caught.value))
    assert near is not None
    assert config.grid(int(near[1]), int(near[2]))


@pytest.mark.parametrize(("l2", "l1"), [(0.0, 0.0), (-1.0, 2.0), (2.0, -1.0)])
def test_a_loss_without_terms_is_refused(l2: float, l1: float) -> None:
    with pytest.raises(GridcodeError, match=f"got l2={l2}, l1={l1}"):
        LossConfig(l2=l2, l1=l1)


def test_a_run_whose_parts_do_not_fit_is_refused() -> None:
    run = TokenizerRun()
    with pytest.raises(GridcodeError, match=r"data\.channels=1 but model\.channels=3: set them equal"):
        replace(run, data=DataConfig(channels=1))
    with pytest.raises(GridcodeError, match=r"multiples of 4 .* got 30x30"):
        replace(run, data=DataConfig(size=30))
