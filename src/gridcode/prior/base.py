"""A prior: a distribution over token grids, given a condition. What training, sampling and measuring need of one.

    condition (condition.py) ──────────────┐ a vector before the tokens, or memories that each layer attends to
    tokens -> vocabulary's vectors -> trunk (trunk.py) -> vocabulary's head -> p(tokens)

    forward        the loss of the target tokens, in training
    fill           replaces the masked tokens of grids by draws
    log_probs      what every token of a grid costs, in the prior's own order of uncovering
    predict, draw  whole grids of conditions

MaskGIT (``maskgit.py``) uncovers many tokens at once, the autoregressive prior (``ar.py``) one after another.

Reference: for priors that attend to another example, Kolesnikov et al., UViM, 2022 (arXiv 2205.10337), section 3.2; the
paper, section 4.4.
Differs from paper: the joint head's weights are the tokens' vectors, as in our other priors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Self, TypeAlias

import torch
from torch import Tensor, nn

from gridcode.errors import GridcodeError
from gridcode.hub import CONFIG, ModelFolder, load_model, save_model
from gridcode.nn.module import count_parameters, load_weights, scaled_normal_
from gridcode.nn.transformer import truncated_normal_
from gridcode.prior.card import prior_card
from gridcode.prior.condition import Condition, Given
from gridcode.prior.config import CrossAttentionConfig, FeatureEncoderConfig, PriorConfig, TokenSpace
from gridcode.prior.distribution import TokenDistribution
from gridcode.prior.encoder import FeatureEncoder
from gridcode.prior.noise import Noise
from gridcode.prior.samplers.config import GREEDY, PROPORTIONAL, SamplerConfig
from gridcode.prior.trunk import CrossAttentionTrunk, Trunk, make_trunk
from gridcode.prior.vocabulary.base import TokenScores, Vocabulary
from gridcode.prior.vocabulary.make import make_vocabulary
from gridcode.training.fabric import fast_autocast

KINDS = ("prior", "conditional-prior")
"""What config.json calls a prior; in version 1, those that attend to another example had a name of their own."""
Reveal: TypeAlias = Callable[[Tensor, TokenDistribution], Tensor]
"""Says what tokens are, of places (B, N) bool and their distribution; see :meth:`Prior.uncover`."""
VERSION = 2
"""The version of what a prior writes into config.json."""


class Prior(nn.Module, ABC):
    """A model of token grids (B, N), flattened row by row.

    Args:
        config: Widths, depth, head, and the encoder of a prior that attends to another example.
        space: What its tokens are; the classes do not count where the condition is another example.
        example_shape: Channels, height and width of the other examples; only with a :class:`CrossAttentionConfig`.

    Raises:
        GridcodeError: The head does not fit the codebook, a side is no multiple of the encoder's patch, or config and
            example do not fit each other.

    Attributes:
        name: Which prior it is, in ``config.json``.
        settings: The class of its config, where the condition is nothing or a class.
        causal: Whether a token is predicted from those before it only.
        renamed_parts: What version 1 called a part, and its name now (:func:`gridcode.nn.module.load_weights`).
        vocabulary: Vectors of its tokens, and the head.
        trunk: The transformer between the two.
        encoder: Features of other examples; None where the condition is nothing or a class.
    """

    name: ClassVar[str]
    settings: ClassVar[type]
    causal: ClassVar[bool]
    renamed_parts: ClassVar[Mapping[str, str]] = {"decoder": "trunk"}
    vocabulary: Vocabulary
    trunk: Trunk
    encoder: FeatureEncoder | None

    def __init__(
        self, config: PriorConfig, space: TokenSpace, example_shape: tuple[int, int, int] | None = None
    ) -> None:
        super().__init__()
        attends = isinstance(config, CrossAttentionConfig)
        if attends != (example_shape is not None):
            raise GridcodeError(
                f"a prior attends to another example with a CrossAttentionConfig and the example's shape; got "
                f"{type(config).__name__} and example_shape={example_shape}"
            )
        self.config, self.example_shape = config, example_shape
        self.space = replace(space, classes=()) if attends else space
        self.vocabulary = make_vocabulary(config.head, self.space, width=config.width)
        self.trunk = make_trunk(config, space, causal=self.causal)
        if isinstance(config, CrossAttentionConfig) and example_shape is not None:
            scaled_normal_(self)
            self.encoder = FeatureEncoder(config.encoder, example_shape[0], example_shape[1:])
        else:
            truncated_normal_(self)
            self.encoder = None

    @staticmethod
    @abstractmethod
    def target_mask(shape: tuple[int, int], *, min_masked: float, generator: torch.Generator) -> Tensor:
        """The tokens that a training step predicts: (B, N) bool, at least one a row."""

    @abstractmethod
    def forward(self, tokens: Tensor, given: Given, targets: Tensor, label_smoothing: float = 0.0) -> TokenScores:
        """Score predictions of some tokens; what training calls, so that autocast and DDP see it.

        Args:
            tokens: (B, N) int64 in [0, K), the truth.
            given: As for :meth:`condition`.
            targets: (B, N) bool with M True entries.
            label_smoothing: Share of the target that is spread evenly.

        Returns:
            Losses (M,), row-major order of ``targets``.
        """

    @abstractmethod
    def fill(
        self, tokens: Tensor, given: Given, *, config: SamplerConfig, guidance: float, noise: Noise, start: int = 0
    ) -> Tensor:
        """Replace every masked token of grids; known tokens are never altered.

        Args:
            tokens: (B, N) int64 in [0, K), or :attr:`mask`.
            given: As for :meth:`condition`.
            config: The sampler, its steps and temperatures.
            guidance: Classifier-free guidance scale; without classes there is none. Where it is 0, or no example has a
                class, nothing is computed without one.
            noise: Of B rows.
            start: The sampler's step to begin with.

        Returns:
            (B, N) int64 in [0, K).
        """

    @abstractmethod
    def groups(self, steps: int) -> tuple[Tensor, ...]:
        """The order in which :meth:`log_probs` uncovers a grid: places (n,) of each group, every place once.

        Args:
            steps: Groups, at most, where the prior leaves that open.
        """

    @abstractmethod
    def uncover(self, tokens: Tensor, given: Given, reveal: Reveal, *, steps: int) -> Tensor:
        """Replace every masked token of grids by what is revealed, in the order of :meth:`groups`.

        Args:
            tokens: (B, N) int64 in [0, K), or :attr:`mask`.
            given: As for :meth:`condition`.
            reveal: Takes places of a group, (B, N) bool with M True entries, and what is known of their tokens from the
                groups before, in row-major order; gives the tokens, int64 (M,).
            steps: As in :meth:`groups`.

        Returns:
            (B, N) int64 in [0, K).
        """

    @abstractmethod
    def log_probs(self, tokens: Tensor, given: Given, *, steps: int) -> Tensor:
        """Log-probability of every token, given the groups before its own, unsmoothed, over the codes only.

        Args:
            tokens: (B, N) int64 in [0, K).
            given: As for :meth:`condition`.
            steps: As in :meth:`groups`.

        Returns:
            (B, N) float32, nats.
        """

    def condition(self, given: Given) -> Condition:
        """The condition of B grids.

        Args:
            given: Labels (B,) int64, -1 for no class; or, for a prior that attends to another example, examples in
                [-1, 1], (B, C, H, W); or a condition that was made of them, which is returned as it is.

        Raises:
            GridcodeError: The examples have another shape than those that the prior was made for.
        """
        if isinstance(given, Condition):
            return given
        if self.encoder is None:
            return Condition(given)
        assert self.example_shape is not None
        assert isinstance(self.trunk, CrossAttentionTrunk)
        if tuple(given.shape[1:]) != self.example_shape:
            raise GridcodeError(
                f"this prior takes examples (B, {', '.join(map(str, self.example_shape))}), got shape "
                f"{tuple(given.shape)}; resize or convert them"
            )
        labels = torch.full((len(given),), -1, device=given.device)
        return Condition(labels, self.trunk.memories(self.encoder(given)))

    @torch.no_grad()
    def predict(self, given: Tensor, config: SamplerConfig = GREEDY, *, seed: int = 0, first: int = 0) -> Tensor:
        """One token grid of each condition, without guidance.

        Args:
            given: As for :meth:`condition`, on any device.
            config: How tokens are drawn; by default the most probable ones, as the paper predicts.
            seed: Same seed, same grids (for the same conditions on the same machine).
            first: Number of the first condition among all that are predicted; a grid's noise depends on the seed and
                its number, not on its batch.

        Returns:
            (B, h, w) int64 in [0, K), or (B, h, w, q), on the prior's device; what the tokenizer decodes.

        Raises:
            GridcodeError: The examples have another shape than those the prior was made for.
        """
        return self.draw(given, 1, config, seed=seed, first=first)[0]

    @torch.no_grad()
    def draw(
        self, given: Tensor, count: int, config: SamplerConfig = PROPORTIONAL, *, seed: int = 0, first: int = 0
    ) -> Tensor:
        """Several token grids of each condition, which is encoded once; without guidance.

        Args:
            given: As for :meth:`condition`, on any device.
            count: Grids of each; all of them are drawn together, in the memory of a batch of count * B.
            config: How tokens are drawn; by default as the prior's probabilities are.
            seed: Same seed, same grids; the first ones of more draws are those of fewer.
            first: Number of the first condition, as in :meth:`predict`.

        Returns:
            (count, B, h, w) int64 in [0, K), or with (…, q), on the prior's device.

        Raises:
            GridcodeError: The examples have another shape than those the prior was made for, or count is below 1.
        """
        if count < 1:
            raise GridcodeError(f"a prior draws at least 1 grid of a condition, got count={count}")
        noise = Noise.of_examples(seed, first + torch.arange(len(given), device=self.device))
        noise = Noise(noise.spread(count).keys.T.flatten())
        with fast_autocast(self.device):
            condition = self.condition(given.to(self.device)).repeat(count)
            start = torch.full((len(condition), self.space.length), self.mask, device=self.device)
            tokens = self.fill(start, condition, config=config, guidance=0.0, noise=noise)
        return tokens.view(count, -1, *self.space.grid)

    @property
    def mask(self) -> int:
        """The id that stands for a token that is not known."""
        return self.vocabulary.mask

    @property
    def device(self) -> torch.device:
        """Where the prior lives."""
        return next(self.parameters()).device

    @property
    def parameter_count(self) -> int:
        """Learned numbers."""
        return count_parameters(self)

    @property
    def blocks(self) -> list[nn.Module]:
        """Every layer, whose activations may be recomputed in the backward pass."""
        return list(chain(self.encoder.blocks if self.encoder is not None else (), self.trunk.blocks))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``model.safetensors``, ``config.json`` and a model card into ``folder``.

        Raises:
            GridcodeError: The folder cannot be written.
        """
        config = {
            "kind": KINDS[0],
            "version": VERSION,
            "prior": self.name,
            "model": asdict(self.config),
            "space": asdict(self.space),
            "example_shape": self.example_shape and list(self.example_shape),
        }
        save_model(Path(folder), tensors=self.state_dict(), config=config, card=prior_card(self))

    @classmethod
    def from_pretrained(cls, source: str | Path, *, device: str | torch.device = "cpu") -> Self:
        """Load a prior of this class, ready for inference; :func:`gridcode.prior.make.load_prior` takes any.

        Args:
            source: A folder (a saved model, or a training run's output) or a Hugging Face hub id.
            device: Where its weights go.

        Raises:
            GridcodeError: Nothing usable is at ``source``, or it is another kind of model.
        """
        return cls.restored(load_model(source, kind=KINDS)).to(device).eval()

    @classmethod
    def restored(cls, folder: ModelFolder) -> Self:
        """The prior of a loaded folder, on the CPU.

        Raises:
            GridcodeError: It is another prior's, or another version's.
        """
        where, name = folder.path / CONFIG, folder.config.get("prior")
        if name != cls.name:
            raise GridcodeError(f"{where} is of a prior {name!r}, not {cls.name!r}; give another folder")
        try:
            values = migrated(folder)
            space, model, shape = TokenSpace.from_json(values["space"]), values["model"], values["example_shape"]
            if shape is None:
                prior = cls(cls.settings(**model), space)
            else:
                encoder = FeatureEncoderConfig(**model["encoder"])
                channels, height, width = shape
                if not all(isinstance(side, int) and side > 0 for side in shape):
                    raise ValueError(f"{shape} is no shape of examples")
                prior = cls(CrossAttentionConfig(**{**model, "encoder": encoder}), space, (channels, height, width))
        except GridcodeError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise GridcodeError(f"{where} is not a prior's ({error}); was it saved by another version?") from None
        load_weights(prior, folder.tensors, origin=folder.path)
        return prior


def migrated(folder: ModelFolder) -> dict[str, Any]:
    """What ``config.json`` of a prior says, as today's version writes it.

    Version 1 had no number. Priors that attend to another example were of a kind of their own, ``conditional-prior``,
    and called the example's shape ``image``; :attr:`Prior.renamed_parts` has the names of weights.

    Raises:
        GridcodeError: The folder is of a later version.
        KeyError: It lacks what its version has.
    """
    config, version = folder.config, folder.config.get("version", 1)
    if version == VERSION:
        return config
    if version != 1:
        raise GridcodeError(f"{folder.path / CONFIG} has version {version!r} of a prior; upgrade gridcode")
    return {**config, "example_shape": config["image"] if config["kind"] == KINDS[1] else None}
