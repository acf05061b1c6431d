"""A prior: a distribution over token grids, given a class. What training, sampling and measuring ask of one.

    forward   the loss of the tokens asked for, in training
    fill      replaces the masked tokens of grids by draws
    log_probs what every token of a grid costs, in the prior's own order of uncovering

MaskGIT (``maskgit.py``) uncovers many tokens at once, the autoregressive prior (``ar.py``) one after another.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
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
    """A model of token grids (B, N), flattened row by row.

    Attributes:
        name: Which prior it is, in ``config.json``.
        settings: The class of its config.
        config: Widths and depth.
        space: What its tokens are.
        vocabulary: Vectors of its tokens, and the head.
        trunk: The transformer between the two.
    """

    name: ClassVar[str]
    settings: ClassVar[type]
    config: PriorConfig
    space: TokenSpace
    vocabulary: Vocabulary
    trunk: Trunk

    @abstractmethod
    def __init__(self, config: Any, space: TokenSpace) -> None:
        super().__init__()

    @staticmethod
    @abstractmethod
    def asked(shape: tuple[int, int], *, min_masked: float, generator: torch.Generator) -> Tensor:
        """The tokens that a training step asks for: (B, N) bool, at least one a row."""

    @abstractmethod
    def forward(self, tokens: Tensor, labels: Tensor, asked: Tensor, label_smoothing: float = 0.0) -> TokenScores:
        """Score predictions of some tokens; what training calls, so that autocast and DDP see it.

        Args:
            tokens: (B, N) int64 in [0, K), the truth.
            labels: (B,) int64; -1 hides the class.
            asked: (B, N) bool with M True entries.
            label_smoothing: Share of the target that is spread evenly.

        Returns:
            Losses (M,), row-major order of ``asked``.
        """

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
    def mask(self) -> int:
        """The id that stands for a token that is not known."""
        return self.vocabulary.mask

    @property
    def device(self) -> torch.device:
        """Where the prior lives."""
        return next(self.parameters()).device

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``model.safetensors``, ``config.json`` and a model card into ``folder``.

        Raises:
            GridcodeError: The folder cannot be written.
        """
        config = {"kind": KIND, "prior": self.name, "model": asdict(self.config), "space": asdict(self.space)}
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
        return cls.restored(load_model(source, kind=KIND)).to(device).eval()

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
            prior = cls(cls.settings(**folder.config["model"]), TokenSpace.from_json(folder.config["space"]))
        except GridcodeError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise GridcodeError(f"{where} is not a prior's ({error}); was it saved by another version?") from None
        load_weights(prior, folder.tensors, origin=folder.path)
        return prior
