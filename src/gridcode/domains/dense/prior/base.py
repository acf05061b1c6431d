"""A picture-conditioned prior: a distribution over token grids, given a picture. What is asked of one.

    picture -> encoder (encoder.py) -> features ──┐ keys and values of each layer
    tokens -> vocabulary's vectors -> decoder (decoder.py) -> vocabulary's head -> p(tokens)

    forward   the loss of predicted tokens, in training
    predict   the token grid of a picture, the most probable one
    draw      several, as often as they are probable

The autoregressive one (``ar.py``) writes one token after another, the masked one (``maskgit.py``) many at once.

Reference: Kolesnikov et al., UViM, 2022 (arXiv 2205.10337), section 3.2; the paper, section 4.4.
Differs from paper: the joint head's weights are the tokens' vectors, as in our other priors.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from gridcode.domains.dense.prior.card import conditional_card
from gridcode.domains.dense.prior.config import AS_PROBABLE, NEAR_GREEDY, ConditionalConfig, ImageEncoderConfig
from gridcode.domains.dense.prior.decoder import ConditionalDecoder
from gridcode.domains.dense.prior.encoder import ImageEncoder
from gridcode.errors import GridcodeError
from gridcode.nn.cross import Memory
from gridcode.nn.module import scaled_normal_
from gridcode.prior.base import Prior
from gridcode.prior.noise import Noise
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.prior.space import TokenSpace
from gridcode.prior.vocabulary.make import make_vocabulary
from gridcode.training.fabric import fast_autocast

KIND = "conditional-prior"


class ConditionalPrior(Prior):
    """A model of token grids (B, N), flattened row by row, given pictures.

    Args:
        config: Widths, depths and head.
        space: What its tokens are; classes are not looked at.
        image: Channels, height and width of the pictures.

    Raises:
        GridcodeError: The head does not fit the codebook, or a side is no multiple of the encoder's patch.

    Attributes:
        causal: Whether a token is said from those before it only.
    """

    kind: ClassVar[str] = KIND
    config: ConditionalConfig
    causal: ClassVar[bool]

    def __init__(self, config: ConditionalConfig, space: TokenSpace, image: tuple[int, int, int]) -> None:
        super().__init__()
        self.config, self.space, self.image = config, replace(space, classes=()), image
        self.vocabulary = make_vocabulary(config.head, self.space, width=config.width)
        self.decoder = ConditionalDecoder(config, space.length, causal=self.causal)
        scaled_normal_(self)
        self.encoder = ImageEncoder(config.encoder, image[0], image[1:])

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
    def layers(self) -> list[nn.Module]:
        """See :class:`~gridcode.prior.base.Prior`."""
        return [*self.encoder.blocks, *self.decoder.blocks]

    def card(self) -> str:
        """See :class:`~gridcode.prior.base.Prior`."""
        return conditional_card(self)

    def settings_json(self) -> dict[str, Any]:
        """See :class:`~gridcode.prior.base.Prior`."""
        return {"model": asdict(self.config), "image": list(self.image)}

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], space: TokenSpace) -> Self:
        """See :class:`~gridcode.prior.base.Prior`."""
        model = dict(settings["model"])
        model["encoder"] = ImageEncoderConfig(**model["encoder"])
        channels, height, width = settings["image"]
        return cls(ConditionalConfig(**model), space, (channels, height, width))
