"""A kind of data, as Stage I sees it: an object that says five things, so that one loop trains every tokenizer.

    read       open, train_batches, eval_batches: from settings to batches of examples
    networks   make_networks, encoder_inputs, decoder_inputs, decoded: from examples to latents, and back
    loss       make_objective: the terms of the loss
    measure    measure: what is reported of a validation, and the figure that the best model is kept by
    show       save_images: what a person sees

A kind is one folder of :mod:`gridcode.domains` whose module ``domain`` holds it as ``DOMAIN``; :func:`register_domain`
takes one from elsewhere; ``cli/shared/kinds.py`` says what verbs need. Its name is in every model's ``config.json``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from gridcode.data.workers import TrainOrder
from gridcode.errors import GridcodeError
from gridcode.nn.module import count_parameters
from gridcode.tokenizer.config import Architecture, TokenizerSettings
from gridcode.tokenizer.usage import TokenUsage
from gridcode.training.run import RunOptions
from gridcode.training.state import Learner, Memory

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from gridcode.tokenizer.model import Tokenizer


@dataclass(frozen=True)
class Sources:
    """The examples of a run.

    Attributes:
        train: What it learns from.
        val: What it is measured on.
    """

    train: Any
    val: Any


@dataclass(frozen=True)
class Measurement:
    """What was measured of a tokenizer.

    Attributes:
        scores: The kind's figures, ``usage`` and ``perplexity`` of the codes among them.
        usage: The usage in full.
        score: The figure that training keeps the best model by; more is better.
        signs: What the alarms check beside the usage, by name.
    """

    scores: dict[str, float]
    usage: TokenUsage
    score: float
    signs: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls, scores: dict[str, float], usage: TokenUsage, *, score: float, signs: Mapping[str, float] | None = None
    ) -> Self:
        """The kind's own scores, with those of the codes behind them."""
        codes = {"usage": usage.pooled.usage, "perplexity": usage.pooled.perplexity} | usage.by_book()
        return cls(scores | codes, usage, score, signs or {})


@dataclass(frozen=True)
class Outline:
    """What a run will need, before it is trained.

    Attributes:
        parts: The learned numbers of each part.
        facts: What else a person wants to know, a line each, by what it is called.
        activations: Bytes that one example keeps for the backward pass, by estimate; None where nobody counted.
        beside: The networks of the loss that take memory beside the tokenizer, in words.
    """

    parts: Mapping[str, int]
    facts: Mapping[str, str] = field(default_factory=dict)
    activations: float | None = None
    beside: str = ""


class Objective(ABC):
    """The loss of a run: what the networks are given, and the terms of their loss.

    Attributes:
        learners: Networks that learn beside the tokenizer, by the names under which checkpoints keep them.
    """

    learners: Mapping[str, Learner] = {}

    def setup(self, fabric: Fabric) -> None:
        """Wrap the learners for the processes, once the tokenizer itself is wrapped."""
        return

    @abstractmethod
    def inputs(self, batch: Any, step: int) -> tuple[Tensor, ...]:
        """What :meth:`Tokenizer.forward` takes of a batch, on the CPU."""

    @abstractmethod
    def terms(self, outputs: Any, inputs: tuple[Tensor, ...], step: int) -> dict[str, Tensor]:
        """The terms of a part of a step's batch, by name; the loss is their sum and the quantizer's own.

        Args:
            outputs: The decoder's, with gradient.
            inputs: The part of :meth:`inputs`, on the device.
            step: The step's number.
        """

    def finish_step(self, inputs: tuple[Tensor, ...], step: int) -> dict[str, Tensor | float]:
        """Called once the tokenizer has made its step: the learners' own, and more figures for the log."""
        return {}


@dataclass(eq=False)
class Domain(ABC):
    """A kind of data. What its tokenizers must know of their data, beside their shape, are its fields.

    A kind with fields is a dataclass. They are settings of its data, have their names, and are of the types of their
    defaults; a kind whose fields are something else says so in ``of``, ``of_settings``, ``to_json`` and ``from_json``.

    Attributes:
        name: Its name, and its folder's.
    """

    name: ClassVar[str]

    # --- read ---------------------------------------------------------------------------------------------------------

    @classmethod
    def of(cls, data: Any, source: Any) -> Self:
        """The kind for the settings of data and the training examples that they name."""
        return cls.of_settings(data)

    @classmethod
    def of_settings(cls, data: Any) -> Self:
        """The kind for settings of data alone; the data are opened only where the kind cannot be told without them."""
        return cls(**{one.name: getattr(data, one.name) for one in fields(cls)})

    @classmethod
    @abstractmethod
    def open(cls, data: Any, split: Literal["train", "val"], /) -> Any:
        """The examples of a split: a sequence with a ``name``.

        Raises:
            GridcodeError: They cannot be opened.
        """

    @classmethod
    @abstractmethod
    def train_batches(cls, source: Any, data: Any, order: TrainOrder, /) -> Iterator[Any]:
        """Batches for training in an order, without end."""

    @classmethod
    @abstractmethod
    def eval_batches(cls, source: Any, data: Any, /, *, batch_size: int) -> Iterator[Any]:
        """Every example once, in order."""

    @classmethod
    @abstractmethod
    def part(cls, source: Any, count: int) -> Any:
        """At most ``count`` examples from all over a source, always the same ones, in its order."""

    @classmethod
    @abstractmethod
    def identity(cls, source: Any) -> dict[str, Any]:
        """What makes examples the same ones, wherever they lie: see :func:`gridcode.training.resume.describe`."""

    @classmethod
    def memories(cls, source: Any) -> Mapping[str, Memory]:
        """What a checkpoint must keep of where training is in its examples, by name; nothing where the step tells."""
        return {}

    @classmethod
    def understood(cls, data: Any, sources: Sources) -> Sequence[str]:
        """What was understood of the data, a line each."""
        return [f"{split}: {len(part):,} of {part.name}" for split, part in vars(sources).items()]

    @classmethod
    def recorded(cls, data: Any, source: Any) -> Any:
        """The settings of data that were given as a source, not read from where the settings say."""
        return replace(data, source=source.name)

    @classmethod
    def without_workers(cls, data: Any) -> Any:
        """The settings for a few examples, that are not worth starting processes."""
        return replace(data, workers=0)

    @abstractmethod
    def shape(self, data: Any) -> tuple[int, ...]:
        """The shape of an example, as :meth:`Architecture.grid` takes it."""

    # --- networks and tokens ------------------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def architecture(cls, values: Mapping[str, Any]) -> Architecture:
        """The shape that ``dataclasses.asdict`` and JSON made plain."""

    def to_json(self) -> dict[str, Any]:
        """The fields, for ``config.json``."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The kind whose :meth:`to_json` is among these; a field that is not has its default."""
        defaults: dict[str, Any] = {one.name: one.default for one in fields(cls)}
        return cls(**{name: type(default)(values.get(name, default)) for name, default in defaults.items()})

    @abstractmethod
    def make_networks(self, config: Any, latents: int) -> tuple[nn.Module, nn.Module]:
        """A new encoder and a new decoder; ``latents`` are the channels of what is quantized, d."""

    @abstractmethod
    def blocks(self, network: nn.Module) -> Sequence[nn.Module]:
        """Parts of a network between which activations are kept where the rest is recomputed."""

    @abstractmethod
    def encoder_inputs(self, config: Any, examples: Tensor, context: Tensor | None) -> tuple[Tensor | None, ...]:
        """What the encoder takes.

        Raises:
            GridcodeError: A shape, a type or a value does not fit.
        """

    def check_range(self, config: Any, examples: Tensor, context: Tensor | None, *, check_values: bool) -> None:
        """Refuse values that would be encoded without a word and were not meant.

        Args:
            config: The shape of the networks.
            examples: What is to be encoded.
            context: What is seen beside it.
            check_values: Whether to read values too, which a GPU has to wait for.
        """
        return

    def decoder_inputs(
        self, config: Any, count: int, context: Tensor | None, dropped: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        """What the decoder takes beside the codes of ``count`` examples.

        Args:
            config: The shape of the networks.
            count: B.
            context: What is seen beside the codes; most kinds have none.
            dropped: bool, (B, *grid), True where a code is not known; not every kind can do without.

        Raises:
            GridcodeError: A shape does not fit, or the kind has no such thing.
        """
        if context is not None or dropped is not None:
            raise GridcodeError(f"tokenizers of kind {self.name!r} decode codes alone; give no context")
        return ()

    @abstractmethod
    def decoded(self, config: Any, outputs: Any) -> Tensor:
        """Examples from the decoder's outputs."""

    def outline(self, tokenizer: Tokenizer, run: Any, *, bytes_per_value: int) -> Outline:
        """What a run will need.

        Args:
            tokenizer: What it will train; its weights are not used.
            run: Its settings.
            bytes_per_value: Of an activation.
        """
        encoder, decoder = count_parameters(tokenizer.encoder), count_parameters(tokenizer.decoder)
        quantizer = tokenizer.parameter_count - encoder - decoder
        return Outline({"encoder": encoder, "quantizer": quantizer, "decoder": decoder})

    @abstractmethod
    def card_rows(self, tokenizer: Tokenizer) -> Mapping[str, str]:
        """What the model card tells of this kind, by what it is called."""

    def check_data(self, data: Any) -> None:
        """Refuse settings of examples that mean something else than those that the tokenizer learned."""
        return

    @abstractmethod
    def encode_inputs(self, batch: Any) -> tuple[Tensor, ...]:
        """What :meth:`Tokenizer.encode` takes of a batch."""

    def mirrored(self, batch: Any) -> tuple[Tensor, ...]:
        """The same with left and right exchanged."""
        raise GridcodeError(f"examples of kind {self.name!r} have no mirror image; leave out flips")

    def class_labels(self, batch: Any) -> Tensor:
        """The class of each example, int64 (B,); -1 for none."""
        return torch.full((len(batch.keys),), -1)

    def store_record(self, data: Any, splits: Mapping[str, Any], *, flips: bool, precision: str) -> dict[str, Any]:
        """What a token store says of its data: what the tokens depend on beside the tokenizer."""
        dataset = PurePath(data.source).name or data.source
        return asdict(data) | {"dataset": dataset, "flips": flips, "precision": precision}

    # --- loss, measure, show ------------------------------------------------------------------------------------------

    @abstractmethod
    def make_objective(
        self, run: Any, tokenizer: Tokenizer, sources: Sources, options: RunOptions, *, fabric: Fabric
    ) -> Objective:
        """The loss of a run."""

    @abstractmethod
    def measure(self, tokenizer: Tokenizer, batches: Iterable[Any]) -> Measurement:
        """Reconstruct batches with a tokenizer in evaluation mode, and measure."""

    @abstractmethod
    def save_images(self, path: Path, tokenizer: Tokenizer, batch: Any) -> None:
        """Write an image (PNG) of a batch and of what comes back, for a person to see."""


_registered: dict[str, type[Domain]] = {}


def register_domain(domain: type[Domain]) -> type[Domain]:
    """Make a kind of data known by its name; it can be used as a decorator."""
    _registered[domain.name] = domain
    return domain


def domain_class(name: str) -> type[Domain]:
    """The kind of data of a name.

    Raises:
        GridcodeError: There is none.
    """
    if name in _registered:
        return _registered[name]
    if not name.isidentifier() or find_spec(f"gridcode.domains.{name}") is None:
        raise GridcodeError(f"there is no kind of data {name!r} here; upgrade gridcode, or register_domain it first")
    kind: type[Domain] = import_module(f"gridcode.domains.{name}.domain").DOMAIN
    return kind


def domain_of(settings: TokenizerSettings) -> type[Domain]:
    """The kind of data that a run is about."""
    return domain_class(settings.model.domain)
