"""From the measurements of texts to a report: figures, and texts beside their reconstructions."""

from __future__ import annotations

from gridcode.domains.text.config import TextEvaluationConfig
from gridcode.domains.text.evaluate import TextEvaluation, TextSubject
from gridcode.domains.text.show import image, marked
from gridcode.evaluation.passages import Passages
from gridcode.evaluation.publish import Findings
from gridcode.evaluation.report import Figure, Table


def text_findings(found: TextEvaluation, subject: TextSubject, config: TextEvaluationConfig) -> Findings:
    """What :func:`gridcode.evaluation.publish.publish` writes of texts.

    Args:
        found: What was measured.
        subject: What it was measured on.
        config: How it was measured.
    """
    originals, backs = found.texts.numpy(), found.reconstructions.numpy()
    pairs = [(marked(text, text), marked(back, text)) for text, back in zip(originals, backs, strict=True)]
    samples = [(marked(sample, sample),) for sample in found.samples.numpy()]
    passages = [
        Passages(
            "Reconstructions",
            ("original", "reconstruction"),
            pairs,
            "Validation windows, encoded to tokens and decoded again; wrong characters are marked. ⏎ is a line's end.",
        ),
        Passages("Samples", ("sample",), samples, "Generated token by token and decoded, each window on its own."),
    ]
    return Findings(
        title=f"gridcode on {subject.data.dataset}",
        figures=found.figures(),
        key_figures=_key_figures(found),
        tables=_tables(found),
        galleries=[],
        codes=found.codes,
        overview=image([one for pair in pairs for one in pair]),
        settings=subject.settings(config),
        passages=passages,
    )


def _key_figures(found: TextEvaluation) -> list[Figure]:
    usage = found.scores.usage.pooled
    figures = [
        Figure("windows that come back whole", f"{found.scores.whole_windows:.1%}", "", "all bytes right"),
        Figure("byte accuracy", f"{found.scores.byte_accuracy:.2%}"),
        Figure("codebook usage", f"{usage.usage:.1%}", "", f"of {usage.codebook_size:,} codes"),
    ]
    if found.path_bits is not None:
        figures.insert(0, Figure("whole path", round(found.path_bits, 3), "bits", "a character: tokens, then bytes"))
    return figures


def _tables(found: TextEvaluation) -> list[Table]:
    scores, usage = found.scores, found.scores.usage.pooled
    rows = [
        Figure("byte accuracy", scores.byte_accuracy, "", "share of bytes that come back"),
        Figure("whole windows", scores.whole_windows, "", f"share of {scores.windows:,} windows that come back whole"),
        Figure("decoder", scores.decoder_bits, "bits per character", "of the text, given the tokens"),
        Figure("codes used", usage.used, "", f"of {usage.codebook_size:,}"),
        Figure("perplexity", usage.perplexity, "codes", "2 to the entropy"),
    ]
    path = []
    if found.path_bits is not None and found.bits_per_token is not None:
        prior = found.path_bits - scores.decoder_bits
        path = [
            Figure("prior", found.bits_per_token, "bits per token", f"{found.tokens} tokens per window"),
            Figure("prior", prior, "bits per character", "of the tokens"),
            Figure("whole path", found.path_bits, "bits per character", "tokens, then the text given the tokens"),
        ]
    others = [
        Figure(name.replace("_", " "), bits, "bits per character", "best level")
        for name, bits in found.compressors.items()
    ]
    return [Table("Reconstruction", rows), Table("Bits", [*path, *others])]
