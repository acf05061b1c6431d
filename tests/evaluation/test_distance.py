"""Distances of pairs: the mean that the networks themselves give, with the protocol that names them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.evaluation.distance import PairDistance, pair_distance
from gridcode.evaluation.protocol import DISTANCES, Score, score_table
from gridcode.features.distance import feature_distance
from gridcode.features.efficientnet import load_efficientnet_lite
from gridcode.features.lpips import load_lpips
from gridcode.features.vgg import WIDTHS


def pictures(seed: int, count: int = 6, channels: int = 3) -> Tensor:
    """Images whose values a file can hold."""
    values = torch.randint(0, 256, (count, channels, 32, 32), generator=torch.Generator().manual_seed(seed))
    return values / 127.5 - 1


def scored(distance: PairDistance, *batches: tuple[Tensor, Tensor]) -> Score:
    for originals, reconstructions in batches:
        distance.update(originals, reconstructions)
    return distance.score(data="pictures", split="val", crop="center 32", pixels="p" * 16)


def test_lpips_is_the_mean_of_the_networks(lpips_files: tuple[Path, Path]) -> None:
    x, y = pictures(1), pictures(2)
    expected = float(load_lpips(*lpips_files)(x, y).mean())
    found = scored(pair_distance("lpips", vgg=lpips_files[0], heads=lpips_files[1]), (x[:4], y[:4]), (x[4:], y[4:]))
    assert found.name == "LPIPS"
    assert found.value == pytest.approx(expected, rel=1e-5)
    how = found.protocol
    assert (how.name, how.extractor, how.measured, how.count, how.reference_count) == (
        "lpips", "vgg16", "reconstructions", 6, 6,
    )  # fmt: skip
    assert Score.from_record(found.record()) == found


@pytest.mark.parametrize("variant", ["lite0", "lite2"])
def test_lite_is_the_mean_of_the_networks(variant: str) -> None:
    x, y = pictures(1), pictures(2)
    network = load_efficientnet_lite(variant)  # type: ignore[arg-type]
    with torch.inference_mode():
        expected = float(feature_distance(network.maps(x), network.maps(y)).mean())
    found = scored(pair_distance(variant), (x, y))  # type: ignore[arg-type]
    assert found.name == f"distance ({variant})"
    assert found.value == pytest.approx(expected, rel=1e-5)


def test_an_image_is_no_distance_from_what_a_file_makes_of_it() -> None:
    x = pictures(3, channels=1)
    near = (x + 0.3 / 127.5).clamp(max=1.5)
    assert scored(pair_distance("lite0"), (x, near)).value == pytest.approx(0, abs=1e-6)


def test_other_weights_do_not_stand_in_one_column(lpips_files: tuple[Path, Path], tmp_path: Path) -> None:
    torch.save({f"lin{k}.model.1.weight": torch.ones(1, w, 1, 1) for k, w in enumerate(WIDTHS)}, tmp_path / "ones.pth")
    pair = pictures(1, 2), pictures(2, 2)
    first, second = (
        scored(pair_distance("lpips", vgg=lpips_files[0], heads=heads), pair)
        for heads in (lpips_files[1], tmp_path / "ones.pth")
    )
    with pytest.raises(GridcodeError, match=r"LPIPS of VQ was measured by another protocol \(extractor hash"):
        score_table({"FSQ": [first], "VQ": [second]})


def test_refusals(lpips_files: tuple[Path, Path]) -> None:
    with pytest.raises(GridcodeError, match=f"distance must be one of {', '.join(DISTANCES)}, not 'vgg'"):
        pair_distance("vgg")  # type: ignore[arg-type]
    with pytest.raises(GridcodeError, match="LPIPS's weights are not given"):
        pair_distance("lpips", vgg=lpips_files[0])
    distance = pair_distance("lite0")
    with pytest.raises(GridcodeError, match="there are no images to measure"):
        scored(distance)
    with pytest.raises(GridcodeError, match=r"one shape, got \(2, 3, 32, 32\) and \(3, 3, 32, 32\)"):
        distance.update(pictures(1, 2), pictures(1, 3))
