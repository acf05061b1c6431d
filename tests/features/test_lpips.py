"""LPIPS against its published steps, with random weights in the files' own names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gridcode.errors import GridcodeError
from gridcode.features.distance import feature_distance
from gridcode.features.lpips import HEADS_URL, LPIPS, load_lpips
from gridcode.features.vgg import VGG16, VGG_URL, WIDTHS


def pictures(seed: int, channels: int = 3, side: int = 32) -> Tensor:
    return torch.rand(2, channels, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def reference(x: Tensor, y: Tensor, files: tuple[Path, Path]) -> Tensor:
    """LPIPS v0.1 as published: scale, five taps, unit channels, squares, a 1x1 convolution, spatial mean, sum."""
    weights, heads = (torch.load(file, weights_only=True) for file in files)
    shift, scale = (torch.tensor(v)[None, :, None, None] for v in ([-0.030, -0.088, -0.188], [0.458, 0.448, 0.450]))
    taps: list[list[Tensor]] = []
    for image in (x, y):
        h, found = (image - shift) / scale, []
        for layer in range(30):
            if layer in (4, 9, 16, 23):
                found.append(h)
                h = F.max_pool2d(h, 2)
            elif f"features.{layer}.weight" in weights:
                h = F.conv2d(
                    h, weights[f"features.{layer}.weight"], weights[f"features.{layer}.bias"], padding=1
                ).relu()
        taps.append([*found, h])
    total = torch.zeros(len(x), 1, 1, 1)
    for number, (a, b) in enumerate(zip(*taps, strict=True)):
        a, b = (f / (f.pow(2).sum(1, keepdim=True).sqrt() + 1e-10) for f in (a, b))
        total += F.conv2d((a - b) ** 2, heads[f"lin{number}.model.1.weight"]).mean((2, 3), keepdim=True)
    return total.flatten()


def test_it_is_lpips_as_published(lpips_files: tuple[Path, Path]) -> None:
    x, y = pictures(1), pictures(2)
    ours = load_lpips(*lpips_files)(x, y)
    torch.testing.assert_close(ours, reference(x, y, lpips_files), rtol=1e-4, atol=1e-6)
    assert (ours > 0).all()


def test_it_is_symmetric_and_zero_for_equal_images_with_a_finite_gradient(lpips_files: tuple[Path, Path]) -> None:
    lpips, x, y = load_lpips(*lpips_files), pictures(1), pictures(2)
    torch.testing.assert_close(lpips(x, y), lpips(y, x))
    same = x.clone().requires_grad_(True)
    distance = lpips(same, x)
    assert distance.tolist() == [0.0, 0.0]
    distance.sum().backward()
    assert same.grad is not None
    assert torch.isfinite(same.grad).all()
    assert all(parameter.grad is None for parameter in lpips.parameters())


def test_grey_images_count_as_colours(lpips_files: tuple[Path, Path]) -> None:
    lpips, x, y = load_lpips(*lpips_files), pictures(1, 1), pictures(2, 1)
    torch.testing.assert_close(lpips(x, y), lpips(x.repeat(1, 3, 1, 1), y.repeat(1, 3, 1, 1)))


def test_small_images_are_one_line(lpips_files: tuple[Path, Path]) -> None:
    with pytest.raises(GridcodeError, match=r"at least 16 pixels per side, got \(2, 3, 15, 15\); try loss"):
        load_lpips(*lpips_files)(pictures(1, side=15), pictures(2, side=15))


def test_files_that_are_not_given_are_not_fetched(lpips_files: tuple[Path, Path]) -> None:
    for vgg, heads, url in ((None, lpips_files[1], VGG_URL), (lpips_files[0], None, HEADS_URL)):
        with pytest.raises(GridcodeError) as caught:
            load_lpips(vgg, heads)
        assert str(caught.value) == f"LPIPS's weights are not given; give files, or let {url} be fetched (download)"


def test_a_fetch_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no route\nto host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(GridcodeError) as caught:
        load_lpips(None, None, download=True)
    message = str(caught.value)
    assert message == f"{VGG_URL} cannot be fetched (no route to host); fetch it by hand and give its path"


def test_both_files_are_fetched_once_under_names_of_their_own(
    lpips_files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str | None]] = []

    def fetch(url: str, path: str, *, hash_prefix: str | None, progress: bool) -> None:
        asked.append((url, hash_prefix))
        Path(path).write_bytes(lpips_files[url == HEADS_URL].read_bytes())

    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    for _ in range(2):
        load_lpips(None, None, download=True)
    assert asked == [(VGG_URL, "397923af"), (HEADS_URL, None)]
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["lpips-v0.1-vgg.pth", "vgg16-397923af.pth"]


def test_heads_of_another_network_are_refused(lpips_files: tuple[Path, Path], tmp_path: Path) -> None:
    torch.save({"lin0.model.1.weight": torch.rand(1, 64, 1, 1)}, tmp_path / "short.pth")
    with pytest.raises(GridcodeError, match=r"short\.pth has no lin1\.model\.1\.weight \(lin0"):
        load_lpips(lpips_files[0], tmp_path / "short.pth")
    with torch.device("meta"):
        vgg = VGG16()
    alexnet = [torch.rand(1, width, 1, 1) for width in (64, 192, 384, 256, 256)]
    negative = [torch.rand(1, width, 1, 1) - 0.5 for width in WIDTHS]
    for heads in (alexnet, negative):
        with pytest.raises(GridcodeError, match=r"LPIPS needs five heads \(1, C, 1, 1\) >= 0"):
            LPIPS(vgg, heads)


def test_the_plain_distance_is_two_minus_two_cosines() -> None:
    draw = torch.Generator().manual_seed(0)
    first, second = ([torch.randn(3, c, 4, 2, generator=draw) for c in (5, 7)] for _ in range(2))
    cosines = [F.cosine_similarity(a, b, dim=1).mean((1, 2)) for a, b in zip(first, second, strict=True)]
    torch.testing.assert_close(feature_distance(first, second), torch.stack([2 - 2 * c for c in cosines]).mean(0))


def test_features_of_different_layers_are_one_line() -> None:
    with pytest.raises(GridcodeError, match=r"needs features of the same layers, got shapes .*; take both from one"):
        feature_distance([torch.zeros(1, 2, 3, 3)], [torch.zeros(1, 2, 3, 4)])
    with pytest.raises(GridcodeError, match="with 2 weights"):
        feature_distance([torch.zeros(1, 2, 3, 3)], [torch.zeros(1, 2, 3, 3)], [torch.ones(1, 2, 1, 1)] * 2)
