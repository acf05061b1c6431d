"""What is measured of a tokenizer of images and of a prior on top of it, as values.

ReconstructionResult    Stage I: quality, usage, and what its tokens cost without a prior
SampleResult            Stage II: its loss, what tokens cost under it, and its samples
Evaluation              both, and their numbers by name, as ``report.json`` holds them
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log2

from torch import Tensor

from gridcode.codec.compressors import CompressedBits
from gridcode.evaluation.charts import CodeUsage
from gridcode.evaluation.protocol import Score
from gridcode.prior.bits import TokenBits
from gridcode.quantize.usage import Usage
from gridcode.tokenizer.usage import TokenUsage


@dataclass(frozen=True)
class ReconstructionResult:
    """Stage I's figures.

    Attributes:
        psnr: dB, mean over images, range [0, 1].
        ssim: Mean over images.
        tokens: Usage of the codebook, over all validation tokens, and of each codebook where there are several.
        codes: How often every code and digit is used.
        compressed: What the validation tokens, one image after another, cost without a prior.
        tokens_per_pixel: Tokens of an image over its pixels.
        frechet: Fréchet distance of reconstructions to the originals on the classifier's features; None without labels.
        perceptual: Mean distance of each reconstruction to its original on the classifier's feature maps, in [0, 2];
            None without labels.
        scores: By the protocols that the settings name.
        originals: (n, C, H, W) in [-1, 1], to look at; from all over the set, as folders are sorted by class.
        reconstructions: The same images, decoded.
    """

    psnr: float
    ssim: float
    tokens: TokenUsage
    codes: CodeUsage
    compressed: CompressedBits
    tokens_per_pixel: float
    frechet: float | None
    perceptual: float | None
    scores: list[Score]
    originals: Tensor
    reconstructions: Tensor

    @property
    def usage(self) -> Usage:
        """Of all validation tokens together."""
        return self.tokens.pooled


@dataclass(frozen=True)
class SampleResult:
    """Stage II's figures.

    Attributes:
        loss: Nats per validation token asked for: a hidden one, or any of an autoregressive prior's.
        accuracy: Share of them guessed right.
        class_accuracy: Share of samples that the classifier puts into the class asked for; None without labels.
        frechet: Fréchet distance of samples to validation images on the classifier's features; None without labels.
        count: Samples measured.
        gallery: By class name: samples and, for each, the nearest training image; (n, C, H, W) in [-1, 1].
        usage: Codebook usage of the samples.
        scores: By the protocols that the settings name.
        bits: What validation tokens cost under the prior, uncovered in a fixed order.
    """

    loss: float
    accuracy: float
    class_accuracy: float | None
    frechet: float | None
    count: int
    gallery: dict[str, tuple[Tensor, Tensor]]
    usage: Usage
    scores: list[Score]
    bits: TokenBits


@dataclass(frozen=True)
class Evaluation:
    """Everything that was measured.

    Attributes:
        reconstruction: Stage I.
        samples: Stage II; None without a prior.
        classifier_accuracy: Of the measuring classifier on validation images; None without labels.
        warnings: What must be known before believing a score.
    """

    reconstruction: ReconstructionResult
    samples: SampleResult | None
    classifier_accuracy: float | None
    warnings: tuple[str, ...] = ()

    def figures(self) -> dict[str, float | int | None]:
        """The numbers by name, as ``report.json`` holds them."""
        first, second = self.reconstruction, self.samples
        figures: dict[str, float | int | None] = {
            "psnr_db": first.psnr,
            "ssim": first.ssim,
            "codebook_size": first.usage.codebook_size,
            "usage": first.usage.usage,
            **first.tokens.by_book(),
            "perplexity": first.usage.perplexity,
            "perplexity_share": first.usage.perplexity / first.usage.codebook_size,
            "entropy_bits": first.usage.entropy_bits,
            "uniform_bits_per_token": log2(first.usage.codebook_size),
            "packed_bits_per_token": first.compressed.packed,
            "zlib_bits_per_token": first.compressed.zlib,
            "zstd_bits_per_token": first.compressed.zstd,
            "reconstruction_frechet_on_classifier_features": first.frechet,
            "reconstruction_perceptual_on_classifier_features": first.perceptual,
            "classifier_accuracy_on_real_images": self.classifier_accuracy,
        }
        if second is not None:
            figures |= {
                "masked_token_loss_nats": second.loss,
                "masked_token_accuracy": second.accuracy,
                "bits_per_token": second.bits.per_token,
                "bits_per_pixel": second.bits.per_token * first.tokens_per_pixel,
                "samples": second.count,
                "sample_class_accuracy": second.class_accuracy,
                "sample_frechet_on_classifier_features": second.frechet,
                "sample_usage": second.usage.usage,
            }
        return figures | {f"{score.protocol.measured} {score.name}": score.value for score in self.scores()}

    def scores(self) -> list[Score]:
        """By the protocols that the settings name, of reconstructions and then of samples."""
        return [*self.reconstruction.scores, *(self.samples.scores if self.samples is not None else ())]
