from __future__ import annotations

import math

import pytest
import torch

from gridcode.errors import GridcodeError
from gridcode.metrics import MAX_PSNR, ImageQuality, psnr, ssim
from gridcode.metrics.image import MULTISCALE_LEAST, multiscale_ssim


def pairs(count: int = 4, size: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    a = torch.rand(count, 3, size, size, generator=generator) * 2 - 1
    return a, (a + 0.1 * torch.randn(a.shape, generator=generator)).clamp(-1, 1)


def test_psnr_equals_its_formula_per_image() -> None:
    a, b = pairs()
    error = ((a.double() - b.double()) / 2).square().mean(dim=(1, 2, 3))
    expected = [10 * math.log10(1 / e) for e in error.tolist()]
    assert psnr(a, b).tolist() == pytest.approx(expected, abs=1e-4)


def test_psnr_of_identical_images_is_the_cap_and_the_mean_stays_finite() -> None:
    a, b = pairs(2, 16)
    both = psnr(torch.cat([a, a]), torch.cat([a, b]))
    assert both[:2].tolist() == pytest.approx([MAX_PSNR] * 2)
    quality = ImageQuality()
    quality.update(torch.cat([a, a]), torch.cat([a, b]))
    assert quality.compute().psnr == pytest.approx(float(both.mean()), rel=1e-6)


def test_psnr_clamps_what_a_screen_would_clip() -> None:
    white = torch.ones(1, 1, 4, 4)
    assert psnr(white, white * 1.7).item() == pytest.approx(MAX_PSNR)


def test_psnr_does_not_round_to_8_bits() -> None:
    a = torch.zeros(1, 1, 4, 4)
    assert psnr(a, a + 2e-3).item() == pytest.approx(60.0, abs=1e-3)


def test_ssim_matches_an_own_window_sum() -> None:
    a, b = pairs(2, 24)
    x, y = (a.double() + 1) / 2, (b.double() + 1) / 2
    line = torch.exp(-0.5 * (torch.arange(-5, 6, dtype=torch.float64) / 1.5) ** 2)
    window = torch.outer(line, line) / line.sum() ** 2

    def blur(v: torch.Tensor) -> torch.Tensor:
        v = torch.nn.functional.pad(v, (5, 5, 5, 5), mode="reflect")
        patches = v.unfold(2, 11, 1).unfold(3, 11, 1)
        return (patches * window).sum(dim=(-1, -2))

    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    full = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    assert ssim(a, b).tolist() == pytest.approx(full.mean(dim=(1, 2, 3)).tolist(), abs=1e-5)


def test_merged_parts_equal_the_whole() -> None:
    a, b = pairs(5)
    whole, left, right = ImageQuality(), ImageQuality(), ImageQuality()
    whole.update(a, b)
    left.update(a[:2], b[:2])
    right.update(a[2:], b[2:])
    left.merge(right)
    assert left.compute().count == 5
    assert left.compute().psnr == pytest.approx(whole.compute().psnr)
    assert left.compute().ssim == pytest.approx(whole.compute().ssim)


def test_errors_name_what_was_seen() -> None:
    with pytest.raises(GridcodeError, match=r"\(1, 3, 8, 8\) and \(1, 3, 8, 9\)"):
        psnr(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 9))
    with pytest.raises(GridcodeError, match="8x5 pixels are too small"):
        ssim(torch.zeros(1, 3, 8, 5), torch.zeros(1, 3, 8, 5))
    with pytest.raises(GridcodeError, match="uint8"):
        psnr(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(GridcodeError, match="no image was seen"):
        ImageQuality().compute()


def test_multiscale_ssim_is_the_product_over_resolutions() -> None:
    from torch.nn.functional import avg_pool2d
    from torchmetrics.functional.image import structural_similarity_index_measure

    a, b = (images.repeat_interleave(12, 2).repeat_interleave(12, 3) for images in pairs(2, 16))
    found = multiscale_ssim(a, b)
    assert multiscale_ssim(a, a).tolist() == pytest.approx([1.0, 1.0])
    assert all(0 < value < 1 for value in found.tolist())
    expected = torch.ones(2)
    for number, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        x, y = ((avg_pool2d(images, 2**number) + 1) / 2 for images in (a, b))
        whole, contrast = structural_similarity_index_measure(
            x, y, data_range=1.0, reduction="none", return_contrast_sensitivity=True
        )
        expected *= (whole if number == 4 else contrast).clamp(min=0) ** weight
    assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-4)
    small = MULTISCALE_LEAST - 1
    with pytest.raises(GridcodeError, match=f"images of {small}x{small} pixels are too small"):
        multiscale_ssim(torch.zeros(1, 3, small, small), torch.zeros(1, 3, small, small))
