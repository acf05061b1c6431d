"""Measure a tokenizer of texts, and a prior on top of it, on the texts that they were trained on.

validation windows -> tokenizer -> share of right bytes and of whole windows, bits of the bytes given the tokens, usage
validation tokens  -> prior     -> bits per token;  with the above, bits per character of the whole path
validation text    -> gzip, xz, zstd at their best level, alone and behind the training text
"""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import torch
from torch import Tensor

from gridcode.domains.text.config import TextConfig, TextEvaluationConfig
from gridcode.domains.text.data import TextSource, eval_batches
from gridcode.domains.text.measure import TextMeter, TextScores
from gridcode.evaluation.charts import CodeUsage
from gridcode.evaluation.subject import Subject
from gridcode.prior.bits import measure_bits
from gridcode.store.reader import TokenTable
from gridcode.training.log import Say
from gridcode.training.seeding import fixed_sample

SHOWN: Final = 24
"""Reconstructions that are kept to be read."""

MOST: Final = 2**24
"""Bytes that compressors are given of either text, at most: they take a second for one or two million."""

TextSubject: TypeAlias = Subject[TextConfig, TextSource]
"""Texts, and what is measured on them."""


@dataclass(frozen=True)
class TextEvaluation:
    """Everything that was measured.

    Attributes:
        scores: Of reconstructions.
        codes: How often every code and digit is used.
        tokens: Of a window.
        bits_per_token: What validation tokens cost under the prior; None without one.
        path_bits: Bits per character of the whole path; None without a prior.
        compressors: Bits per character of the validation text by compressor.
        texts: (n, T) uint8, validation windows to be read.
        reconstructions: The same, decoded.
        samples: (m, T) uint8, drawn from the prior; none without one.
    """

    scores: TextScores
    codes: CodeUsage
    tokens: int
    bits_per_token: float | None
    path_bits: float | None
    compressors: Mapping[str, float]
    texts: Tensor
    reconstructions: Tensor
    samples: Tensor

    def figures(self) -> dict[str, float | int | None]:
        """The numbers by name, as ``report.json`` holds them."""
        usage = self.scores.usage.pooled
        return {
            "byte_accuracy": self.scores.byte_accuracy,
            "whole_windows": self.scores.whole_windows,
            "decoder_bits_per_character": self.scores.decoder_bits,
            "windows": self.scores.windows,
            "codebook_size": usage.codebook_size,
            "usage": usage.usage,
            "usage_of_ceiling": usage.usage_of_ceiling,
            **self.scores.usage.by_book(),
            "perplexity": usage.perplexity,
            "bits_per_token": self.bits_per_token,
            "bits_per_character": self.path_bits,
            **{f"{name}_bits_per_character": bits for name, bits in self.compressors.items()},
        }


@torch.inference_mode()
def evaluate_text(
    subject: TextSubject, config: TextEvaluationConfig, *, say: Say = lambda text: None
) -> TextEvaluation:
    """Measure everything that the data allows.

    Args:
        subject: What is measured.
        config: How much of it.
        say: Told what is being done.

    Raises:
        GridcodeError: The texts cannot be read.
    """
    tokenizer, generator = subject.tokenizer, subject.generator
    say("measuring reconstructions")
    meter, val = TextMeter(tokenizer), subject.val.part(config.count)
    texts, backs, tokens = list[Tensor](), list[Tensor](), list[Tensor]()
    for batch in eval_batches(val, batch_size=config.batch_size):
        out = tokenizer(batch.text.to(tokenizer.device))
        meter.update(batch, out.outputs, out.quantized.indices)
        texts.append(batch.text)
        backs.append(tokenizer.domain.decoded(tokenizer.config, out.outputs).cpu())
        tokens.append(out.quantized.indices.cpu().flatten(1))
    scores, found = meter.compute(), torch.cat(tokens)
    bits = path = None
    samples = torch.zeros(0, subject.data.window, dtype=torch.uint8)
    if generator is not None:
        say(f"counting the prior's bits, drawing {config.samples} samples")
        table = TokenTable(found, torch.full((len(found),), -1), ())
        bits = measure_bits(generator.prior, table, batch_size=config.batch_size).per_token
        path = scores.path_bits(bits, found.shape[1])
        samples = generator.sample(
            [-1] * config.samples,
            sampler=config.sampler,
            guidance=config.guidance,
            seed=config.seed,
            batch_size=config.batch_size,
        )
    chosen = torch.from_numpy(fixed_sample(len(found), min(SHOWN, len(found))))
    return TextEvaluation(
        scores=scores,
        codes=CodeUsage.from_indices(found.numpy(), tokenizer.quantizer.levels),
        tokens=found.shape[1],
        bits_per_token=bits,
        path_bits=path,
        compressors=compressed_bits(subject.train.content(), subject.val.content()),
        texts=torch.cat(texts)[chosen],
        reconstructions=torch.cat(backs)[chosen],
        samples=samples,
    )


def compressed_bits(train: bytes, val: bytes) -> dict[str, float]:
    """Bits per character of a text by gzip, xz and zstd at their best level: alone, and behind the training text.

    What a text costs behind another is the growth of the compressed file when it is put behind it.

    Args:
        train: What the models learned from; of more than 16 MB the end counts.
        val: The text; of more than 16 MB the beginning counts.

    >>> sorted(compressed_bits(b"to be or not to be", b"to be"))
    ['gzip', 'gzip_after_training_text', 'xz', 'xz_after_training_text', 'zstd', 'zstd_after_training_text']
    """
    train, val, found = train[-MOST:], val[:MOST], dict[str, float]()
    for name, size in _compressors().items():
        found[name] = 8 * size(val) / len(val)
        found[f"{name}_after_training_text"] = 8 * (size(train + val) - size(train)) / len(val)
    return found


def _compressors() -> dict[str, Callable[[bytes], int]]:
    """The size of what each makes of bytes."""
    import pyarrow as pa

    zstd = pa.Codec("zstd", compression_level=22)
    return {
        "gzip": lambda content: len(gzip.compress(content, 9, mtime=0)),
        "xz": lambda content: len(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME)),
        "zstd": lambda content: len(zstd.compress(content, asbytes=True)),
    }
