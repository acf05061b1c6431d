"""``gridcode sample`` of texts."""

from __future__ import annotations

from dataclasses import dataclass

from gridcode.cli import sample
from gridcode.domains.text.config import TextEvaluationConfig


@dataclass(frozen=True)
class Arguments(sample.Arguments):
    """Make new texts: gridcode sample [RECIPE] --prior DIR --tokenizer DIR --out DIR.

    A recipe's name sets the defaults of how they are drawn. --out gets a file for each window, and samples.txt with a
    line for each.
    """

    count: int = 16
    """How many."""


def run(arguments: list[str]) -> None:
    """Sample texts.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    parsed = sample.parse_sampled(Arguments, "text", arguments, TextEvaluationConfig())
    from gridcode.domains.text.files import text_bytes
    from gridcode.domains.text.show import shown
    from gridcode.files import write_bytes, write_text

    drawn = parsed.draw()
    contents = [text_bytes(window) for window in drawn.examples]
    for stem, content in zip(drawn.stems, contents, strict=True):
        write_bytes(drawn.out / f"{stem}.txt", content)
    lines = [shown(content) for content in contents]
    write_text(drawn.out / "samples.txt", "".join(f"{line}\n" for line in lines))
    print("\n".join(lines))
    count = len(contents)
    print(f"{count} text{'s' * (count != 1)} in {drawn.out}; all of them in {drawn.out / 'samples.txt'}")
