"""Features of another example, through a vision transformer; and weights that it can start from.

    example (B, C, H, W) -> patches -> x + position -> blocks (nn/vit.py) -> norm -> features (B, h w, D)

There is no class token: nothing needs one vector of the whole example. Parameters carry the names that timm's models
have, so that :func:`load_vit` can take trained weights from a file:

    patch_embed.proj.weight  (D, 3, P, P)      summed over the channels where the examples have one
    pos_embed                (1, 1 + n², D)    the class token's place left out, the rest resized to the encoder's grid
    blocks.I.…, norm.…                         as they are
    cls_token, head.…                          left out

Weights of plain vision transformers with patches as the config has them fit, such as timm's
``vit_large_patch16_224.augreg_in21k``, whose pixels lie in [-1, 1] like ours.

Reference: Dosovitskiy et al., "An Image is Worth 16x16 Words", 2020 (arXiv 2010.11929), sections 3.1 and 3.2 (positions
at another resolution); UViM's published configs leave the class token and the head out likewise.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from gridcode.errors import FileError, GridcodeError, MissingFileError
from gridcode.nn.conv import Conv2d
from gridcode.nn.module import scaled_normal_, scaled_vectors_
from gridcode.nn.vit import LAYER_NORM_EPS, ViTBlock, bicubic
from gridcode.prior.config import FeatureEncoderConfig

_LEFT_OUT = ("head.", "pre_logits.", "fc_norm.")
"""What comes after the features in timm's models."""
_PATCHES, _POSITIONS, _CLASS = "patch_embed.proj.weight", "pos_embed", "cls_token"


class PatchEmbedding(nn.Module):
    """Each patch's pixels through one linear layer.

    Args:
        channels: C.
        width: Features per patch, D.
        patch: Pixels per patch, P, a side.
    """

    def __init__(self, channels: int, width: int, *, patch: int) -> None:
        super().__init__()
        self.proj = Conv2d(channels, width, patch, stride=patch)

    def forward(self, examples: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, h w, D), row by row."""
        features: Tensor = self.proj(examples)
        return features.flatten(2).transpose(1, 2)


@final
class FeatureEncoder(nn.Module):
    """An example's features, patch by patch.

    Args:
        config: Patch, width and depth.
        channels: C of the examples.
        shape: Height and width of the examples.

    Raises:
        GridcodeError: A side is not a multiple of the patch.

    >>> encoder = FeatureEncoder(FeatureEncoderConfig(width=16, depth=1, heads=2, mlp=32), 3, (16, 32))
    >>> encoder(torch.zeros(2, 3, 16, 32)).shape
    torch.Size([2, 8, 16])
    """

    def __init__(self, config: FeatureEncoderConfig, channels: int, shape: tuple[int, int]) -> None:
        super().__init__()
        self.grid = config.grid(*shape)
        self.patch_embed = PatchEmbedding(channels, config.width, patch=config.patch)
        self.pos_embed = nn.Parameter(torch.empty(1, self.grid[0] * self.grid[1], config.width))
        self.blocks = nn.ModuleList(ViTBlock(config.width, config.heads, mlp=config.mlp) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width, eps=LAYER_NORM_EPS)
        scaled_normal_(self)
        scaled_vectors_(self.pos_embed)

    def forward(self, examples: Tensor) -> Tensor:
        """Examples in [-1, 1], (B, C, H, W) -> (B, h w, D)."""
        x = self.patch_embed(examples) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        features: Tensor = self.norm(x)
        return features


def find_vit(path: str | Path) -> Path:
    """The file of weights; called before long work that ends with loading it.

    Raises:
        GridcodeError: It is not there.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise MissingFileError(
            f"vit_weights: there is no file {path}; download a ViT's model.safetensors (timm's names)"
        )
    return path


def load_vit(encoder: FeatureEncoder, path: str | Path) -> None:
    """Replace every weight of an encoder by those of a file.

    Args:
        encoder: Changed in place.
        path: A .safetensors file with the names of timm's vision transformers.

    Raises:
        GridcodeError: The file cannot be read, or is of another shape; the encoder is as it was.
    """
    path = find_vit(path)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise FileError(f"vit_weights: {path} is no readable safetensors file ({error}); convert it") from None
    taken = {name: tensor for name, tensor in tensors.items() if not name.startswith(_LEFT_OUT) and name != _CLASS}
    _check(encoder, taken, path)
    own = encoder.state_dict()
    taken[_PATCHES] = _for_channels(taken[_PATCHES], own[_PATCHES].shape[1])
    places = taken[_POSITIONS][:, 1:] if _CLASS in tensors else taken[_POSITIONS]
    taken[_POSITIONS] = _resized(places, encoder.grid)
    encoder.load_state_dict(taken)


def _check(encoder: FeatureEncoder, tensors: dict[str, Tensor], path: Path) -> None:
    """Refuse weights of another transformer, by one line about the first that does not fit."""
    own = encoder.state_dict()
    missing, unknown = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    if missing or unknown:
        what = f"it lacks {missing[0]}" if missing else f"it has {unknown[0]}, which the encoder has not"
        raise GridcodeError(
            f"vit_weights: {path} does not fit the encoder of {len(encoder.blocks)} layers: {what}; give a "
            "plain vision transformer with timm's names, and set model.encoder.depth to its layers"
        )
    for name, tensor in own.items():
        found, wanted = tuple(tensors[name].shape), tuple(tensor.shape)
        if name == _POSITIONS:  # resized later, so only the width counts
            found, wanted = found[2:], wanted[2:]
        if name == _PATCHES:  # one channel takes the sum of three
            found, wanted = (found[0], *found[2:]), (wanted[0], *wanted[2:])
        if found != wanted:
            raise GridcodeError(
                f"vit_weights: {name} of {path} has shape {tuple(tensors[name].shape)}, the encoder's has "
                f"{tuple(tensor.shape)}; set model.encoder.patch and the like to those of these weights"
            )


def _for_channels(weight: Tensor, channels: int) -> Tensor:
    """Of a layer that takes RGB: the one that takes grey as three equal channels."""
    if weight.shape[1] == channels:
        return weight
    if channels != 1:
        raise GridcodeError(
            f"vit_weights: these weights take inputs of {weight.shape[1]} channels, the encoder's have "
            f"{channels}; give weights of a transformer that sees RGB"
        )
    return weight.sum(1, keepdim=True)


def _resized(places: Tensor, grid: tuple[int, int]) -> Tensor:
    """Positions (1, n², D) of a square grid on another one (1, h w, D): bicubic, widened where it shortens.

    >>> _resized(torch.full((1, 4, 8), 0.5), (3, 5)).shape
    torch.Size([1, 15, 8])
    """
    side, D = math.isqrt(places.shape[1]), places.shape[2]
    if side * side != places.shape[1]:
        raise GridcodeError(
            f"vit_weights: {places.shape[1]} positions beside the class token's make no square; give those of "
            "a plain vision transformer that was trained on square images"
        )
    if grid == (side, side):
        return places
    square = places[0].T.reshape(D, side, side).float()
    down, across = (bicubic(side, length) for length in grid)
    return (down @ square @ across.mT).flatten(1).T[None].contiguous()
