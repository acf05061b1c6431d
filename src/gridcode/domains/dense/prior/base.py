"""A picture-conditioned prior: a distribution over token grids, given a picture. What is asked of one.

    picture -> encoder (encoder.py) -> features ──┐ keys and values of each layer
    tokens -> vocabulary's vectors -> decoder (decoder.py) -> vocabulary's head -> p(tokens)

    forward   the loss of the tokens asked for, in training
    predict   the token grid of a picture, the most probable one
    draw      several, as often as they are probable

The autoregressive one (``ar.py``) writes one token after another, the masked one (``maskgit.py``) many at once.

Reference: Kolesnikov et al., UViM, 2022 (arXiv 2205.10337), section 3.2; the paper, section 4.4.
Differs from paper: the joint head's weights are the tokens' vectors, as in our other priors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from gridcode.domains.dense.prior.card import conditional_card
from gridcode.domains.dense.prior.config import AS_PROBABLE, NEAR_GREEDY, ConditionalConfig, ImageEncoderConfig
from gridcode.domains.dense.prior.decoder import ConditionalDecoder
from gridcode.domains.dense.prior.encoder import ImageEncoder
from gridcode.errors import GridcodeError
from gridcode.hub import CONFIG, ModelFolder, load_model, save_model
from gridcode.nn.cross import Memory
from gridcode.nn.module import load_weights, scaled_normal_
from gridcode.prior.noise import Noise
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.prior.space import TokenSpace
from gridcode.prior.vocabulary.base import TokenScores
from gridcode.prior.vocabulary.make import make_vocabulary
from gridcode.training.precision import fast_autocast

KIND = "conditional-prior"


class ConditionalPrior(nn.Module, ABC):
    """A model of token grids (B, N), flattened row by row, given pictures.

    Args:
        config: Widths, depths and head.
        space: What its tokens are; classes are not looked at.
        image: Channels, height and width of the pictures.

    Raises:
        GridcodeError: The head does not fit the book, or a side is no multiple of the encoder's patch.

    Attributes:
        name: Which prior it is, in ``config.json``.
        causal: Whether a token is said from those before it only.
    """

    name: ClassVar[str]
    causal: ClassVar[bool]

    def __init__(self, config: ConditionalConfig, space: TokenSpace, image: tuple[int, int, int]) -> None:
        super().__init__()
        self.config, self.space, self.image = config, replace(space, classes=()), image
        self.vocabulary = make_vocabulary(config.head, self.space, width=config.width)
        self.decoder = ConditionalDecoder(config, space.length, causal=self.causal)
        scaled_normal_(self)
        self.encoder = ImageEncoder(config.encoder, image[0], image[1:])

    @staticmethod
    @abstractmethod
    def asked(shape: tuple[int, int], *, min_masked: float, generator: torch.Generator) -> Tensor:
        """The tokens that a training step asks for: (B, N) bool, at least one a row."""

    @abstractmethod
    def forward(self, images: Tensor, tokens: Tensor, asked: Tensor, label_smoothing: float = 0.0) -> TokenScores:
        """Score predictions of some tokens; what training calls, so that autocast and DDP see it.

        Args:
            images: In [-1, 1], (B, C, H, W).
            tokens: (B, N) int64 in [0, K), the truth.
            asked: (B, N) bool with M True entries.
            label_smoothing: Share of the target that is spread evenly.

        Returns:
            Losses (M,), row-major order of ``asked``.
        """

    @abstractmethod
    def write(self, memories: Sequence[Memory], *, config: SamplerConfig, noise: Noise) -> Tensor:
        """Token grids of pictures that were looked at.

        Args:
            memories: What :meth:`look` returned for B pictures.
            config: Temperatures, top-k and top-p, and what a masked prior's steps are; there is no guidance.
            noise: Of B rows.

        Returns:
            (B, N) int64 in [0, K).
        """

    def look(self, images: Tensor) -> list[Memory]:
        """What every layer of the decoder looks at: keys and values of pictures in [-1, 1], (B, C, H, W).

        Raises:
            GridcodeError: The pictures have another shape than those the prior was made for.
        """
        if tuple(images.shape[1:]) != self.image:
            raise GridcodeError(
                f"this prior takes pictures (B, {', '.join(map(str, self.image))}), got shape {tuple(images.shape)}; "
                "resize or convert them"
            )
        return self.decoder.remember(self.encoder(images))

    @torch.no_grad()
    def predict(self, images: Tensor, config: SamplerConfig = NEAR_GREEDY, *, seed: int = 0, first: int = 0) -> Tensor:
        """Write the token grids of pictures.

        Args:
            images: In [-1, 1], (B, C, H, W), on any device.
            config: How tokens are drawn; by default the most probable ones, as the paper predicts.
            seed: Same seed, same grids (for the same pictures on the same machine).
            first: Number of the first picture among all that are predicted; a picture's noise depends on the seed and
                its number, not on its batch.

        Returns:
            (B, h, w) int64 in [0, K), or (B, h, w, q), on the prior's device; what the label tokenizer decodes.

        Raises:
            GridcodeError: The pictures have another shape than those the prior was made for.
        """
        return self.draw(images, 1, config, seed=seed, first=first)[0]

    @torch.no_grad()
    def draw(
        self, images: Tensor, count: int, config: SamplerConfig = AS_PROBABLE, *, seed: int = 0, first: int = 0
    ) -> Tensor:
        """Write several token grids of each picture, which is looked at once.

        Args:
            images: In [-1, 1], (B, C, H, W), on any device.
            count: Grids of each picture; all of them are written together, in the memory of a batch of count * B.
            config: How tokens are drawn; by default as the prior's probabilities say.
            seed: Same seed, same grids; the first ones of more draws are those of fewer.
            first: Number of the first picture, as in :meth:`predict`.

        Returns:
            (count, B, h, w) int64 in [0, K), or with (…, q), on the prior's device.

        Raises:
            GridcodeError: The pictures have another shape than those the prior was made for, or count is below 1.
        """
        if count < 1:
            raise GridcodeError(f"a prior draws at least 1 grid of a picture, got count={count}")
        noise = Noise.of_pictures(seed, first + torch.arange(len(images), device=self.device))
        noise = Noise(noise.spread(count).keys.T.flatten())
        with fast_autocast(self.device):
            memories = self.look(images.to(self.device))
            if count > 1:
                memories = [(keys.repeat(count, 1, 1, 1), values.repeat(count, 1, 1, 1)) for keys, values in memories]
            tokens = self.write(memories, config=config, noise=noise)
        return tokens.view(count, -1, *self.space.grid)

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
        config = {
            "kind": KIND,
            "prior": self.name,
            "model": asdict(self.config),
            "space": asdict(self.space),
            "image": list(self.image),
        }
        save_model(Path(folder), tensors=self.state_dict(), config=config, card=conditional_card(self))

    @classmethod
    def from_pretrained(cls, source: str | Path, *, device: str | torch.device = "cpu") -> Self:
        """Load a prior of this class, ready for inference; ``load_conditional_prior`` takes either.

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
            GridcodeError: It is the other prior's, or another version's.
        """
        where, name = folder.path / CONFIG, folder.config.get("prior")
        if name != cls.name:
            raise GridcodeError(f"{where} is of a prior {name!r}, not {cls.name!r}; give another folder")
        try:
            space, model = TokenSpace.from_json(folder.config["space"]), dict(folder.config["model"])
            model["encoder"] = ImageEncoderConfig(**model["encoder"])
            channels, height, width = folder.config["image"]
            prior = cls(ConditionalConfig(**model), space, (channels, height, width))
        except GridcodeError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise GridcodeError(
                f"{where} is not a picture-conditioned prior's ({error}); was it saved by another version?"
            ) from None
        load_weights(prior, folder.tensors, origin=folder.path)
        return prior
