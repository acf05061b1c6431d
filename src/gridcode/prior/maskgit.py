"""MaskGIT: a bidirectional transformer that guesses masked tokens of a grid, given a class.

    [class, token_1 … token_N] -> embedding -> trunk (trunk.py) -> embedding^T + bias

Vocabulary: K codes, then the classes, then MASK, which stands for a hidden token and for a hidden class
alike. All of it is in the training loss, as in the original; samplers see the codes only.

Reference:
    Chang et al., "MaskGIT: Masked Generative Image Transformer", 2022; FSQ paper, section 4.3.
    24 layers of width 768, K = 1024, N = 256 and 1000 classes give the paper's 172.46M parameters.

Differs from paper: positions are asked for, and only those go through the head.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gridcode.errors import GridcodeError
from gridcode.hub import CONFIG, load_model, save_model
from gridcode.nn.transformer import truncated_normal_
from gridcode.nn.weights import load_weights
from gridcode.prior.card import prior_card
from gridcode.prior.config import MaskGITConfig
from gridcode.prior.distribution import CategoricalTokens
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.prior.samplers.fill import fill_masked
from gridcode.prior.samplers.loop import TokenModel
from gridcode.prior.space import TokenSpace
from gridcode.prior.trunk import make_trunk

KIND = "prior"

ROUND_TO = 256
"""Places that are asked for come in multiples of this: oneDNN compiles and caches a kernel for each shape."""


class MaskGIT(nn.Module):
    """The masked transformer.

    Args:
        config: Widths and depth.
        space: What its tokens are.

    >>> space = TokenSpace(codebook_size=240, grid=(4, 4), classes=("cat", "dog"), tokenizer="", data={})
    >>> prior = MaskGIT(MaskGITConfig(width=16, depth=1, heads=2, mlp=32), space).eval()
    >>> hidden = torch.full((2, 16), prior.mask)
    >>> prior.logits(hidden, torch.tensor([0, -1]), hidden == prior.mask).shape
    torch.Size([32, 243])
    """

    def __init__(self, config: MaskGITConfig, space: TokenSpace) -> None:
        super().__init__()
        self.config = config
        self.space = space
        vocabulary = space.codebook_size + len(space.classes) + 1
        self.mask = vocabulary - 1
        self.embedding = nn.Embedding(vocabulary, config.width)
        self.trunk = make_trunk(config, space.grid)
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        truncated_normal_(self)

    def logits(self, tokens: Tensor, labels: Tensor, positions: Tensor) -> Tensor:
        """Logits over the whole vocabulary for the positions asked for.

        Args:
            tokens: (B, N) int64 in [0, K), or :attr:`mask`.
            labels: (B,) int64 class indices; -1 hides the class.
            positions: (B, N) bool with M True entries.

        Returns:
            (M, K + classes + 1), row-major order of the positions.
        """
        classes = torch.where(labels < 0, self.mask, labels + self.space.codebook_size)
        sequence = torch.cat([classes[:, None], tokens], 1)
        count = int(positions.sum())
        asked = F.pad(positions, (1, 0)).flatten().nonzero()[:, 0]
        # Rounded up, so that a training run meets a handful of shapes, and kernels are made once, not for every step.
        asked = F.pad(asked, (0, -count % ROUND_TO))
        hidden = self.trunk(self.embedding(sequence), asked)
        return F.linear(hidden, self.embedding.weight, self.bias)[:count]

    def forward(self, tokens: Tensor, labels: Tensor, positions: Tensor) -> Tensor:
        """The same as :meth:`logits`; what training calls, so that autocast and DDP see it."""
        return self.logits(tokens, labels, positions)

    def conditional(self, labels: Tensor) -> TokenModel:
        """The callable a sampler asks, for given classes (B,) int64, -1 for none.

        Its guidance is alpha in l' = l_c + alpha (l_c - l_0): both halves go through in one batch; 0 asks the
        conditional model alone.
        """
        K = self.space.codebook_size

        def ask(tokens: Tensor, positions: Tensor, guidance: float) -> CategoricalTokens:
            if guidance == 0:
                return CategoricalTokens(self(tokens, labels, positions)[:, :K].float())
            both_labels = torch.cat([labels, torch.full_like(labels, -1)])
            both = self(tokens.repeat(2, 1), both_labels, positions.repeat(2, 1))[:, :K].float()
            with_class, without = both.chunk(2)
            return CategoricalTokens(with_class).guide(CategoricalTokens(without), guidance)

        return ask

    def fill(
        self,
        tokens: Tensor,
        labels: Tensor,
        *,
        config: SamplerConfig,
        guidance: float,
        generator: torch.Generator,
        start: int = 0,
    ) -> Tensor:
        """Replace every masked token of grids; known tokens are never altered.

        Args:
            tokens: (B, N) int64 in [0, K), or :attr:`mask`.
            labels: (B,) int64; -1 for no class.
            config: The sampler, its steps and temperatures.
            guidance: Classifier-free guidance scale; without classes there is none.
            generator: Where the randomness comes from, on the prior's device.
            start: The sampler's step to begin with.

        Returns:
            (B, N) int64 in [0, K).
        """
        return fill_masked(
            self.conditional(labels),
            tokens,
            mask=self.mask,
            grid=self.space.grid,
            config=config,
            generator=generator,
            guidance=guidance if self.space.classes else 0.0,
            start=start,
        )

    @property
    def device(self) -> torch.device:
        """Where the prior lives."""
        return self.bias.device

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``model.safetensors``, ``config.json`` and a model card into ``folder``.

        Raises:
            GridcodeError: The folder cannot be written.
        """
        config = {"kind": KIND, "model": asdict(self.config), "space": asdict(self.space)}
        save_model(Path(folder), tensors=self.state_dict(), config=config, card=prior_card(self))

    @classmethod
    def from_pretrained(cls, source: str | Path, *, device: str | torch.device = "cpu") -> MaskGIT:
        """Load a prior, ready for inference.

        Args:
            source: A folder (a saved model, or a training run's output) or a Hugging Face hub id.
            device: Where its weights go.

        Raises:
            GridcodeError: Nothing usable is at ``source``, or it is another kind of model.
        """
        folder = load_model(source, kind=KIND)
        try:
            space = folder.config["space"]
            space |= {name: tuple(space[name]) for name in ("grid", "classes", "levels")}
            prior = cls(MaskGITConfig(**folder.config["model"]), TokenSpace(**space))
        except (KeyError, TypeError) as error:
            raise GridcodeError(
                f"{folder.path / CONFIG} is not a prior's ({error}); was it saved by another version?"
            ) from None
        load_weights(prior, folder.tensors, origin=folder.path)
        return prior.to(device).eval()
