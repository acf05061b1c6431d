"""What is measured of every kind of data with classes: validation examples there and back, and samples by class.

training classes    -> classifier that measures        trained_on_classes
validation examples -> tokens -> examples again        both_ways
classes in turn     -> prior  -> new examples          draw_by_class
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from gridcode.data.loader import Batch
from gridcode.errors import GridcodeError
from gridcode.evaluation.subject import Subject
from gridcode.features.classifier import Classifier
from gridcode.features.train import accuracy
from gridcode.prior.bits import measure_bits
from gridcode.store.reader import TokenTable
from gridcode.tasks.generate import Generator
from gridcode.tokenizer.model import Tokenizer
from gridcode.training.log import Say
from gridcode.training.seeding import fixed_sample

ClassifierT = TypeVar("ClassifierT")


@dataclass(frozen=True)
class BothWays:
    """Examples that went through a tokenizer and back.

    Attributes:
        examples: (n, …).
        reconstructions: (n, …).
        table: Their tokens, and their labels.
    """

    examples: Tensor
    reconstructions: Tensor
    table: TokenTable

    def some(self, count: int) -> tuple[Tensor, Tensor]:
        """At most ``count`` examples from all over, always the same ones, and their reconstructions."""
        chosen = torch.from_numpy(fixed_sample(len(self.examples), min(count, len(self.examples))))
        return self.examples[chosen], self.reconstructions[chosen]


def both_ways(
    tokenizer: Tokenizer, batches: Iterable[Any], update: Callable[[Tensor, Tensor, Tensor], None]
) -> BothWays:
    """Send batches with ``labels`` through a tokenizer in evaluation mode and back.

    Args:
        tokenizer: The tokenizer.
        batches: At least one.
        update: Told of examples, reconstructions and tokens of each batch, such as a meter's.
    """
    examples, backs, tokens, labels = list[Tensor](), list[Tensor](), list[Tensor](), list[Tensor]()
    for batch in batches:
        (own,) = tokenizer.domain.encode_inputs(batch)
        indices = tokenizer.encode(own.to(tokenizer.device))
        back = tokenizer.decode(indices).cpu()
        update(own, back, indices)
        examples.append(own)
        backs.append(back)
        tokens.append(indices.cpu().flatten(1))
        labels.append(batch.labels)
    return BothWays(torch.cat(examples), torch.cat(backs), TokenTable(torch.cat(tokens), torch.cat(labels), ()))


def trained_on_classes(
    subject: Subject[Any, Any], train: Callable[[], ClassifierT], *, nouns: str, say: Say
) -> ClassifierT | None:
    """A classifier of the data's own classes; None where the training or the validation examples have none.

    Args:
        subject: What is measured.
        train: Trains it.
        nouns: What the examples are called in the error.
        say: Told that it is trained.

    Raises:
        GridcodeError: The classes of the prior are not the data's, or their examples have other grids of tokens.
    """
    if subject.generator is not None:
        space, tokenizer = subject.generator.prior.space, subject.tokenizer
        if space.classes != subject.train.classes:
            raise GridcodeError(
                f"the prior's classes are not those of {subject.train.name}: measure it on {nouns} of its own classes"
            )
        if (grid := tokenizer.token_grid(*tokenizer.domain.shape(subject.data))) != space.grid:
            raise GridcodeError(
                f"the prior draws grids of {'x'.join(map(str, space.grid))} tokens, and these {nouns} have "
                f"{'x'.join(map(str, grid))}: measure it on {nouns} of the shape that it learned"
            )
    if not (subject.train.classes and subject.val.classes):
        return None
    say("training the classifier that measures")
    return train()


def recognised(
    classifier: Classifier | None, examples: Tensor, labels: Tensor, image: Callable[[Tensor], Tensor]
) -> float | None:
    """The share of examples that a classifier of images recognises; None without a classifier.

    Args:
        classifier: Tells classes.
        examples: (n, …).
        labels: What they are, or were asked to be, (n,).
        image: Makes what it sees of some examples, (B, C, H, W).
    """
    if classifier is None:
        return None
    parts = zip(torch.split(examples, 100), torch.split(labels, 100), strict=True)
    return accuracy(classifier, (Batch(image(part), asked, ()) for part, asked in parts))


@dataclass(frozen=True)
class DrawnByClass:
    """Samples, as many of each class.

    Attributes:
        bits_per_token: What validation tokens cost under the prior.
        examples: (n, …), on the CPU.
        labels: What was asked for, int64 (n,); -1 where there are no classes.
        names: Of the classes, by label; without classes one of no name.
    """

    bits_per_token: float
    examples: Tensor
    labels: Tensor
    names: dict[int, str]

    def shown(self, count: int) -> dict[str, Tensor]:
        """At most ``count`` of each class, by name."""
        return {name: self.examples[self.labels == label][:count] for label, name in self.names.items()}


def draw_by_class(generator: Generator, table: TokenTable, config: Any) -> DrawnByClass:
    """Measure the prior's bits and draw samples, the classes in turn.

    Args:
        generator: Both stages.
        table: Validation tokens.
        config: Has ``samples``, ``count``, ``batch_size``, ``sampler``, ``guidance`` and ``seed``.
    """
    bits = measure_bits(generator.prior, table, batch_size=config.batch_size, limit=config.count)
    classes = generator.prior.space.classes
    labels = torch.arange(config.samples) % len(classes) if classes else torch.full((config.samples,), -1)
    drawn = generator.sample(
        labels, sampler=config.sampler, guidance=config.guidance, seed=config.seed, batch_size=config.batch_size
    ).cpu()
    return DrawnByClass(bits.per_token, drawn, labels, dict(enumerate(classes)) or {-1: ""})
