"""``gridcode reconstruct`` of texts: whole files of any length, through a tokenizer and back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated

from gridcode.cli.reconstruct import file_name, parse_reconstructed
from gridcode.cli.shared.models import TokenizerModel
from gridcode.cli.shared.options import FLAT, Output
from gridcode.cli.text.options import TextReading

_SHOWN = 40
"""Windows in the comparison, at most."""


@dataclass(frozen=True)
class Arguments:
    """Send texts through a tokenizer and back, at their whole length.

    --out gets the reconstructions, and comparison.html with the first windows of each and their wrong bytes marked.
    """

    model: Annotated[TokenizerModel, FLAT]
    output: Annotated[Output, FLAT]
    input: str | None = None
    """A text, or a folder of texts; what the tokenizer's own data hold out by default."""
    data: TextReading = field(default_factory=TextReading)
    """How texts are read."""
    count: int = 16
    """Texts at most."""


def run(arguments: list[str]) -> None:
    """Reconstruct texts.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    parsed = parse_reconstructed(Arguments, "text", arguments)
    from gridcode.domains.text.data import SUFFIXES, open_texts, read_texts
    from gridcode.domains.text.domain import data_of
    from gridcode.domains.text.files import reconstruct_text
    from gridcode.domains.text.show import in_lines
    from gridcode.evaluation.passages import Passages
    from gridcode.evaluation.report import Report, write_report
    from gridcode.files import write_bytes

    tokenizer = parsed.model.load()
    data = parsed.data.applied(data_of(tokenizer))
    if parsed.input is None:
        texts = list(open_texts(data, "val").stretches)
    else:
        texts = read_texts(replace(data, source=parsed.input).source, on_error=data.on_error)
    out, sections = parsed.output.make(), list[Passages]()
    for number, text in enumerate(texts[: parsed.count]):
        back = reconstruct_text(tokenizer, text.content, window=data.window)
        write_bytes(out / f"{file_name(number, text.key.removesuffix('.gz'), SUFFIXES)}.txt", back.tobytes())
        right = (back == text.content).mean()
        print(f"{text.key}  {len(back):,} bytes  {right:.2%} right")
        seen = slice(_SHOWN * data.window)
        rows = in_lines(text.content[seen], back[seen], data.window)
        sections.append(Passages(text.key, ("original", "reconstruction"), rows))
    page = out / "comparison.html"
    write_report(Report("Texts and their reconstructions", passages=sections), page)
    print(f"{len(sections)} text{'s' * (len(sections) != 1)} in {out}; side by side, wrong bytes marked: {page}")
