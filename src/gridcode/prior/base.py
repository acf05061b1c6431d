"""A prior: a distribution over token grids, given a condition. What training, sampling and measuring ask of one.

    every prior (:class:`Prior`)
    predicted  which tokens a training step predicts
    forward    their loss

    given a class (:class:`ClassPrior`)
    fill       replaces the masked tokens of grids by draws
    log_probs  what every token of a grid costs, in the prior's own order of uncovering

MaskGIT (``maskgit.py``) uncovers many tokens at once, the autoregressive prior (``ar.py``) one after another.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from gridcode.errors import GridcodeError
from gridcode.hub import CONFIG, ModelFolder, load_model, save_model
from gridcode.nn.module import load_weights
from gridcode.prior.card import prior_card
from gridcode.prior.config import PriorConfig
from gridcode.prior.noise import Noise
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.prior.space import TokenSpace
from gridcode.prior.trunk import Trunk
from gridcode.prior.vocabulary.base import TokenScores, Vocabulary

KIND = "prior"


class Prior(nn.Module, ABC):
    """A model of token grids (B, N), flattened row by row, given a condition.

    Attributes:
        name: Which prior it is, in ``config.json``.
        kind: What a model folder calls it.
        config: Widths and depth.
        space: What its tokens are.
        vocabulary: Vectors of its tokens, and the head.
    """

    name: ClassVar[str]
    kind: ClassVar[str]
    config: Any
    space: TokenSpace
    vocabulary: Vocabulary

    @staticmethod
    @abstractmethod
    def predicted(shape: tuple[int, int], *, min_masked: float, generator: torch.Generator) -> Tensor:
        """The tokens that a training step predicts: (B, N) bool, at least one a row."""

    @abstractmethod
    def forward(
        self, tokens: Tensor, condition: Tensor, predicted: Tensor, label_smoothing: float = 0.0
    ) -> TokenScores:
        """Score predictions of some tokens; what training calls, so that autocast and DDP see it.

        Args:
            tokens: (B, N) int64 in [0, K), the truth.
            condition: What the tokens are conditioned on, of B rows.
            predicted: (B, N) bool with M True entries.
            label_smoothing: Share of the target that is spread evenly.

        Returns:
            Losses (M,), row-major order of ``predicted``.
        """

    @property
    @abstractmethod
    def layers(self) -> list[nn.Module]:
        """The transformer's blocks, which can be recomputed in the backward pass."""

    @abstractmethod
    def card(self) -> str:
        """The model card, Markdown."""

    @abstractmethod
    def settings_json(self) -> dict[str, Any]:
        """What ``config.json`` says beside kind, name and space, as JSON values."""

    @classmethod
    @abstractmethod
    def from_settings(cls, settings: Mapping[str, Any], space: TokenSpace) -> Self:
        """The prior, with random weights, of what :meth:`settings_json` returned."""

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
        return sum(parameter.numel() for parameter in self.parameters())

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``model.safetensors``, ``config.json`` and a model card into ``folder``.

        Raises:
            GridcodeError: The folder cannot be written.
        """
        config = {"kind": self.kind, "prior": self.name, "space": asdict(self.space), **self.settings_json()}
        save_model(Path(folder), tensors=self.state_dict(), config=config, card=self.card())

    @classmethod
    def from_pretrained(cls, source: str | Path, *, device: str | torch.device = "cpu") -> Self:
        """Load a prior of this class, ready for inference; :func:`gridcode.prior.make.load_prior` takes any.

        Args:
            source: A folder (a saved model, or a training run's output) or a Hugging Face hub id.
            device: Where its weights go.

        Raises:
            GridcodeError: Nothing usable is at ``source``, or it is another kind of model.
        """
        return cls.restored(load_model(source, kind=cls.kind)).to(device).eval()

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
            prior = cls.from_settings(folder.config, TokenSpace.from_json(folder.config["space"]))
        except GridcodeError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise GridcodeError(f"{where} is not a prior's ({error}); was it saved by another version?") from None
        load_weights(prior, folder.tensors, origin=folder.path)
        return prior


class ClassPrior(Prior):
    """A prior whose condition is a class, or nothing: labels (B,) int64, -1 hides the class.

    Attributes:
        settings: The class of its config.
        trunk: The transformer between the vocabulary's vectors and its head.
    """

    kind: ClassVar[str] = KIND
    settings: ClassVar[type]
    config: PriorConfig
    trunk: Trunk

    @abstractmethod
    def __init__(self, config: Any, space: TokenSpace) -> None:
        super().__init__()

    @abstractmethod
    def fill(
        self,
        tokens: Tensor,
        labels: Tensor,
        *,
        config: SamplerConfig,
        guidance: float,
        noise: Noise,
        start: int = 0,
    ) -> Tensor:
        """Replace every masked token of grids; known tokens are never altered.

        Args:
            tokens: (B, N) int64 in [0, K), or :attr:`mask`.
            labels: (B,) int64; -1 for no class.
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
    def log_probs(self, tokens: Tensor, labels: Tensor, *, steps: int) -> Tensor:
        """Log-probability of every token, given the groups before its own, unsmoothed, over the codes only.

        Args:
            tokens: (B, N) int64 in [0, K).
            labels: (B,) int64; -1 for no class.
            steps: As in :meth:`groups`.

        Returns:
            (B, N) float32, nats.
        """

    @property
    def layers(self) -> list[nn.Module]:
        """See :class:`Prior`."""
        return list(self.trunk.blocks)

    def card(self) -> str:
        """See :class:`Prior`."""
        return prior_card(self)

    def settings_json(self) -> dict[str, Any]:
        """See :class:`Prior`."""
        return {"model": asdict(self.config)}

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], space: TokenSpace) -> Self:
        """See :class:`Prior`."""
        return cls(cls.settings(**settings["model"]), space)
