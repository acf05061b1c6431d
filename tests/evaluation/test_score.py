"""Scores of images by protocol, on a network that is small enough to check by hand."""

from __future__ import annotations

import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from gridcode.errors import GridcodeError
from gridcode.evaluation.reference import (
    KEPT_FEATURES,
    Reference,
    load_reference,
    measure_reference,
    save_reference,
)
from gridcode.evaluation.score import Measured, protocol_extractor, score_features, score_images
from gridcode.features.classifier import Classifier, save_classifier
from gridcode.features.config import ClassifierConfig
from gridcode.features.extractor import FID_WEIGHTS, Extractor, Features
from gridcode.metrics import GaussianStatistics, frechet_distance, inception_score, kernel_distance, manifold_scores

MEASURED = Measured("samples", "pictures", "val", "center 8", seed=3)


def means(pixels: Tensor) -> Features:
    """An image's mean colour and its corner: six features."""
    vectors = torch.cat([pixels.mean((2, 3)), pixels[..., 0, 0]], 1) / 50
    return Features(vectors, vectors[:, :3])


def stand_in(name: str = "stand-in", digest: str = "0" * 64) -> Extractor:
    return Extractor(name, digest, 6, "none", 3, means)


def images(count: int, seed: int) -> Tensor:
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_scores_are_the_metrics_of_the_features() -> None:
    extractor, real, drawn = stand_in("lite0"), images(30, 0), images(40, 1)
    reference = measure_reference(real.split(7), extractor, source="pictures")
    scores = score_images(drawn.split(9), reference, MEASURED, name="fd-lite0", extractor=extractor)
    a, b = extractor(drawn), extractor(real)
    sets = GaussianStatistics(6), GaussianStatistics(6)
    for statistics, features in zip(sets, (a, b), strict=True):
        statistics.update(features.vectors)
    manifold = manifold_scores(a.vectors, b.vectors)
    assert [score.name for score in scores] == [
        f"{part} (lite0)" for part in ("FD", "KD", "precision", "recall", "density", "coverage", "class score")
    ]
    assert [score.value for score in scores] == pytest.approx(
        [
            frechet_distance(*sets),
            kernel_distance(a.vectors, b.vectors, seed=3).mean,
            manifold.precision,
            manifold.recall,
            manifold.density,
            manifold.coverage,
            inception_score(a.logits),
        ]
    )
    protocol = scores[0].protocol
    assert {score.protocol for score in scores} == {protocol}
    assert (protocol.count, protocol.reference_count, protocol.seeds) == (40, 30, (3,))
    assert (protocol.extractor, protocol.extractor_hash, protocol.reference) == ("lite0", "0" * 64, "pictures")


class Given(nn.Module):
    """Features that are there, as torchmetrics takes a network."""

    num_features = 6

    def forward(self, vectors: Tensor) -> Tensor:
        return vectors


def test_distances_are_torchmetrics() -> None:
    extractor, real, drawn = stand_in("inception-adm", FID_WEIGHTS), images(30, 0), images(30, 1)
    reference = measure_reference([real], extractor, source="pictures")
    fid, kid, *_ = score_images([drawn], reference, MEASURED, name="fid-adm", extractor=extractor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metrics = FrechetInceptionDistance(Given()), KernelInceptionDistance(Given(), subsets=1, subset_size=30)
    for metric in metrics:
        metric.update(extractor(real).vectors.double(), real=True)
        metric.update(extractor(drawn).vectors.double(), real=False)
    assert (fid.name, kid.name) == ("FID", "KID")
    assert fid.value == pytest.approx(metrics[0].compute().item(), rel=1e-4)
    assert kid.value == pytest.approx(metrics[1].compute()[0].item(), rel=1e-4)


def test_only_the_published_weights_earn_the_name_fid() -> None:
    def names(name: str, digest: str, protocol: str) -> list[str]:
        extractor = stand_in(name, digest)
        reference = measure_reference([images(9, 0)], extractor, source="pictures")
        found = score_images([images(9, 1)], reference, MEASURED, name=protocol, extractor=extractor)  # type: ignore[arg-type]
        return [score.name for score in found]

    published = FID_WEIGHTS + "0" * 56
    assert names("inception-adm", published, "fid-adm")[:3] == ["FID", "KID", "precision"]
    assert names("inception-clean", published, "fid-clean")[0] == "FID (clean)"
    for other in (names("inception-adm", "0" * 64, "fid-adm"), names("classifier", published, "classifier-fd")):
        assert not any("FID" in name or "KID" in name or name.startswith("Inception") for name in other)
    assert names("inception-adm", "0" * 64, "fid-adm")[-1] == "class score (Inception)"
    assert names("inception-clean", "0" * 64, "fid-clean")[-1] == "class score (Inception, clean)"


def test_reference_survives_its_file(tmp_path: Path) -> None:
    extractor = stand_in()
    reference = measure_reference(images(12, 0).split(5), extractor, source="pictures")
    save_reference(reference, extractor, tmp_path / "real.npz")
    again = load_reference(tmp_path / "real.npz", extractor)
    assert (again.hash, again.count, again.source) == (reference.hash, 12, "pictures")
    assert (again.split, again.crop) == (None, None)
    cropped = measure_reference([images(12, 0)], extractor, source="pictures", split="train", crop="center 8")
    save_reference(cropped, extractor, tmp_path / "cropped.npz")
    again = load_reference(tmp_path / "cropped.npz", extractor)
    assert (again.split, again.crop, again.hash) == ("train", "center 8", reference.hash)
    torch.testing.assert_close(again.statistics.covariance, cropped.statistics.covariance, rtol=0, atol=0)
    with pytest.raises(GridcodeError, match="measured with extractor stand-in, not lite0"):
        load_reference(tmp_path / "real.npz", stand_in("lite0"))
    with pytest.raises(GridcodeError, match="measured with extractor hash 000"):
        load_reference(tmp_path / "real.npz", stand_in(digest="1" * 64))


def test_adms_layout(tmp_path: Path) -> None:
    extractor, pictures = stand_in("lite0"), np.random.default_rng(0).integers(0, 256, (11, 8, 8, 3), dtype=np.uint8)
    features = extractor(torch.from_numpy(pictures).permute(0, 3, 1, 2) / 127.5 - 1).vectors
    own = {"mu": features.double().mean(0).numpy(), "sigma": np.cov(features.double().numpy(), rowvar=False)}
    np.savez(tmp_path / "pictures.npz", pictures)
    measured = load_reference(tmp_path / "pictures.npz", extractor)
    np.testing.assert_allclose(measured.statistics.covariance, own["sigma"], rtol=1e-6)
    assert measured.count == 11
    whole = {"mu": own["mu"] + 1, "sigma": 2 * own["sigma"]}
    np.savez(tmp_path / "adm.npz", arr_0=pictures, mu_s=np.zeros(2), sigma_s=np.zeros((2, 2)), **whole)
    adm = load_reference(tmp_path / "adm.npz", extractor)
    np.testing.assert_allclose(adm.statistics.mean, whole["mu"])
    np.testing.assert_allclose(adm.statistics.covariance, whole["sigma"])
    assert adm.count is None
    assert adm.features is not None
    torch.testing.assert_close(adm.features, features)
    np.savez(tmp_path / "bare.npz", **own)
    bare = load_reference(tmp_path / "bare.npz", extractor)
    assert bare.features is None
    scores = score_images([images(9, 1)], bare, MEASURED, name="fd-lite0", extractor=extractor)
    assert [score.name.split()[0] for score in scores] == ["FD", "class"]


@pytest.mark.parametrize("batch", [1000, 7001])
def test_features_are_kept_of_at_most_ten_thousand_from_all_over(batch: int) -> None:
    """Folders are sorted by class: the first ones are no sample of all."""
    assert KEPT_FEATURES == 10_000, "as many as ADM's suite compares with"
    extractor = Extractor("corner", "0", 1, "none", 3, lambda pixels: Features(pixels[:, :1, 0, 0], pixels[:, :, 0, 0]))
    many = torch.linspace(-1, 1, 20_000)[:, None, None, None].expand(-1, 3, 1, 1)
    reference = measure_reference(many.split(batch), extractor, source="pictures")
    assert reference.features is not None
    assert (len(reference.features), reference.count) == (10_000, 20_000)
    assert float(reference.features.mean()) == pytest.approx(127.5, abs=2)
    assert (reference.features.diff(dim=0) >= 0).all(), "in their order"
    few = measure_reference(many[:500].split(batch), extractor, source="pictures")
    assert few.features is not None
    assert len(few.features) == 500


def test_a_hash_names_images_whatever_their_batches_and_network() -> None:
    pictures = images(12, 0)
    first = measure_reference(pictures.split(5), stand_in(), source="here").hash
    assert measure_reference([pictures], stand_in("lite0"), source="there").hash == first
    assert measure_reference([pictures.flip(0)], stand_in(), source="here").hash != first
    assert measure_reference([images(12, 1)], stand_in(), source="here").hash != first


def test_pairs_are_not_compared_with_themselves() -> None:
    extractor, real = stand_in("lite0"), images(30, 0)
    reference = measure_reference([real], extractor, source="pictures")
    nearly = (real + 0.01 * images(30, 1)).clamp(-1, 1)

    def kernel(*, paired: bool) -> float:
        found = score_images([nearly], reference, MEASURED, name="fd-lite0", extractor=extractor, paired=paired)
        return next(score.value for score in found if score.name.startswith("KD"))

    a, b = (extractor(pictures).vectors for pictures in (nearly, real))
    assert kernel(paired=True) == pytest.approx(kernel_distance(a, b, paired=True, seed=3).mean)
    assert kernel(paired=False) < 10 * min(kernel(paired=True), 0)


def test_the_class_score_minds_no_order_and_its_parts_are_equal() -> None:
    logits = torch.eye(10).repeat_interleave(1000, 0) * 100
    vectors = torch.rand(10_000, 6, generator=torch.Generator().manual_seed(0))
    reference = Reference(
        GaussianStatistics.known(torch.zeros(6).double(), torch.eye(6).double(), count=9), None, 9, "", ""
    )
    for count in (10_000, 9_990):
        found = score_features(
            Features(vectors[:count], logits[:count]), reference, MEASURED, name="fd-lite0", extractor=stand_in("lite0")
        )
        assert found[-1].value == pytest.approx(10, abs=0.05)


def test_an_extractor_of_another_protocol_is_refused() -> None:
    extractor = stand_in("inception-clean", FID_WEIGHTS)
    reference = measure_reference([images(9, 0)], extractor, source="pictures")
    with pytest.raises(GridcodeError, match="protocol 'fid-adm' does not measure with inception-clean"):
        score_images([images(9, 1)], reference, MEASURED, name="fid-adm", extractor=extractor)
    with pytest.raises(GridcodeError, match="there are no images to measure"):
        score_images([], reference, MEASURED, name="fid-clean", extractor=extractor)


def test_files_that_are_no_reference(tmp_path: Path) -> None:
    extractor = stand_in()
    with pytest.raises(GridcodeError, match="there is no file"):
        load_reference(tmp_path / "absent.npz", extractor)
    whole = tmp_path / "whole.npz"
    np.savez_compressed(whole, mu=np.arange(6.0), sigma=np.eye(6))
    content = whole.read_bytes()
    for place in range(40, len(content) - 120, 7):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        whole.write_bytes(damaged)
        with suppress(GridcodeError):  # and no other error
            load_reference(whole, extractor)
    (tmp_path / "torn.npz").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(GridcodeError, match=r"cannot be read as a \.npz file"):
        load_reference(tmp_path / "torn.npz", extractor)
    for arrays, message in (
        ({"x": np.zeros(2)}, r"neither mu and sigma nor arr_0 .x."),
        ({"arr_0": np.zeros((2, 8, 8, 3))}, "uint8 images"),
        ({"mu": np.zeros(2), "sigma": np.eye(2)}, "features of length 6"),
        ({"mu": np.full(6, np.nan), "sigma": np.eye(6)}, "NaN"),
        ({"mu": np.zeros(6), "sigma": np.eye(6), "count": "many"}, "a count that is no number"),
        ({"mu": np.zeros(6), "sigma": np.eye(6), "count": np.zeros(2, int)}, "a count that is no number"),
        ({"mu": np.zeros(6), "sigma": np.eye(6), "features": np.zeros((9, 5), np.float32)}, "features of shape .9, 5."),
    ):
        np.savez(tmp_path / "other.npz", **arrays)
        with pytest.raises(GridcodeError, match=message):
            load_reference(tmp_path / "other.npz", extractor)


def test_extractors_by_protocol(tmp_path: Path) -> None:
    classifier = Classifier(ClassifierConfig(classes=3, size=16)).eval()
    save_classifier(classifier, tmp_path / "classifier")
    assert protocol_extractor("classifier-fd", weights=tmp_path / "classifier").name == "classifier"
    assert protocol_extractor("fd-lite0").name == "lite0"
    with pytest.raises(GridcodeError, match="needs weights: give the file pt_inception"):
        protocol_extractor("fid-adm")
    with pytest.raises(GridcodeError, match="needs weights: give a classifier's folder"):
        protocol_extractor("classifier-fd")
    with pytest.raises(GridcodeError, match="weights in a package"):
        protocol_extractor("fd-lite2", weights="weights.pth")
    with pytest.raises(GridcodeError, match="protocol must be one of"):
        protocol_extractor("fid")  # type: ignore[arg-type]
