"""What kinds of data share whose examples are read one at a time and may have a class each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from gridcode.data.labelled.source import some_of
from gridcode.errors import GridcodeError
from gridcode.quantize.config import with_tuples
from gridcode.tokenizer.domain import Domain, Sources
from gridcode.tokenizer.model import Tokenizer
from gridcode.training.resume import describe

Data = TypeVar("Data")


class LabelledDomain(Domain):
    """A kind whose sources are :class:`gridcode.data.labelled.source.LabelledSource`, and whose batches have labels.

    Attributes:
        no_classes: What is added where there are none: how one could have some.
    """

    no_classes = ""

    @classmethod
    def part(cls, source: Any, count: int) -> Any:
        """See :class:`Domain`."""
        return some_of(source, count)

    @classmethod
    def identity(cls, source: Any) -> dict[str, Any]:
        """Number, classes and names of the examples."""
        return describe(len(source), source.classes, (source.key(index) for index in range(len(source))))

    @classmethod
    def understood(cls, data: Any, sources: Sources) -> Sequence[str]:
        """Splits, counts and classes."""
        classes = sources.train.classes
        shown = ", ".join(classes[:10]) + (", …" if len(classes) > 10 else "")
        told = f"classes: {len(classes)} ({shown})" if classes else f"classes: none{cls.no_classes}"
        return [*super().understood(data, sources), told]

    @classmethod
    def recorded(cls, data: Any, source: Any) -> Any:
        """See :class:`Domain`."""
        return replace(data, source=source.name, val_source=None)

    def class_labels(self, batch: Any) -> Tensor:
        """See :class:`Domain`."""
        labels: Tensor = batch.labels
        return labels


@torch.inference_mode()
def there_and_back(
    tokenizer: Tokenizer, batches: Iterable[Any], update: Callable[[Tensor, Tensor, Tensor], None]
) -> None:
    """Send batches through a tokenizer in evaluation mode and back.

    Args:
        tokenizer: The tokenizer.
        batches: Whose examples are encoded alone.
        update: Told of examples, reconstructions and tokens of each batch, such as a meter's.
    """
    for batch in batches:
        (own,) = tokenizer.domain.encode_inputs(batch)
        examples = own.to(tokenizer.device)
        indices = tokenizer.encode(examples)
        update(examples, tokenizer.decode(indices), indices)


def recorded_data(info: Mapping[str, Any], settings: Callable[..., Data], *, nouns: str) -> Data:
    """The settings of data in a tokenizer's own record.

    Args:
        info: The tokenizer's.
        settings: Their class.
        nouns: What the examples are called in an error.

    Raises:
        GridcodeError: It has none, or ones that this version cannot read.
    """
    try:
        return settings(**with_tuples(dict(info["data"])))
    except GridcodeError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise GridcodeError(
            f"the tokenizer does not say what {nouns} it was trained on ({error}); train it again"
        ) from None
