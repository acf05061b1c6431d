"""From another project's VQ-GAN to a ``Tokenizer``: every tensor of theirs is used, once, and every one of ours filled.

The codebook becomes a ``VQ`` in its first form: nearest neighbour by the Euclidean distance, as in both projects. Its
preset ``plain`` decides only how further training goes. Theirs weighs commitment 1 and the codebook 0.25, a slip of
the published code that diffusers keeps; here it is 0.25 and 1, as in the paper. Encoding and decoding know nothing of
it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from gridcode.convert.names import Project, source_names
from gridcode.convert.shape import shape_of
from gridcode.convert.source import Source, read_source
from gridcode.data.config import DataConfig
from gridcode.errors import GridcodeError
from gridcode.tokenizer.model import Tokenizer


@dataclass(frozen=True)
class Conversion:
    """A tokenizer that was another project's.

    Attributes:
        tokenizer: Ready for inference, on the CPU, float32.
        project: Whose it was.
        used: How many tensors it was made of: all there were, but those set aside.
        set_aside: Names of tensors that only the other project's training needs.
        prefix: What stood before every name in the file.
        others: How many tensors and values of the file belong to other models.
        rounded: The dtypes of weights that were not in float32, such as 'float16'.
    """

    tokenizer: Tokenizer
    project: Project
    used: int
    set_aside: tuple[str, ...]
    prefix: str = ""
    others: int = 0
    rounded: tuple[str, ...] = ()


def convert_tokenizer(
    path: str | Path,
    *,
    data: str = "unknown",
    size: int = 256,
    unit_range: bool = False,
    allow_pickle: bool = False,
) -> Conversion:
    """Take over a tokenizer of diffusers' (``VQModel``) or of taming-transformers' (VQGAN).

    Args:
        path: diffusers: a folder with config.json and diffusion_pytorch_model.safetensors or .bin; taming: a state
            dict as .safetensors, .ckpt, .pt or .pth.
        data: The images it was trained on, for its record: a path or a name.
        size: Their side in pixels.
        unit_range: It was trained on pixels in [0, 1], not [-1, 1]; of the well-known ones only aMUSEd's is.
        allow_pickle: Also read files other than .safetensors; tensors alone are read from them.

    Returns:
        The tokenizer, and what it was made of.

    Raises:
        GridcodeError: There is no such model, it is a pickle and these are not allowed, it has layers that gridcode
            has not, or a tensor is missing, unknown or of another shape.

    >>> convert_tokenizer("nowhere/vqvae")
    Traceback (most recent call last):
    ...
    gridcode.errors.MissingFileError: there is no file or folder nowhere/vqvae; download the model first
    """
    source = read_source(path, allow_pickle=allow_pickle)
    config = shape_of(source, unit_range=unit_range)
    images = DataConfig(source=data, size=size, channels=1 if config.channels == 1 else 3)
    config.grid(size, size)
    tokenizer = Tokenizer(config)
    names = source_names(tokenizer.state_dict(), source.project, levels=len(config.widths))
    tokenizer.load_state_dict(_filled(tokenizer.state_dict(), source, names))
    tokenizer.info = {"data": asdict(images), "dataset": images.dataset, "converted_from": source.project}
    kinds = {str(tensor.dtype).removeprefix("torch.") for tensor in source.tensors.values()}
    return Conversion(
        tokenizer.eval(),
        source.project,
        len(names),
        source.set_aside,
        prefix=source.prefix,
        others=source.others,
        rounded=tuple(sorted(kinds - {"float32"})),
    )


def _filled(own: dict[str, Tensor], source: Source, names: dict[str, str]) -> dict[str, Tensor]:
    """Our state dict with their tensors.

    Raises:
        GridcodeError: One is missing, left over, or of another shape.
    """
    missing = [theirs for theirs in names.values() if theirs not in source.tensors]
    unknown = sorted(source.tensors.keys() - {*names.values()})
    reshaped = [
        f"{theirs} {tuple(source.tensors[theirs].shape)} for {tuple(own[ours].shape)}"
        for ours, theirs in names.items()
        if theirs in source.tensors and _trimmed(source.tensors[theirs]) != _trimmed(own[ours])
    ]
    if missing or unknown or reshaped:
        raise GridcodeError(
            f"{source.path} is not a VQGAN as {source.project} makes them: {len(missing)} tensors missing, "
            f"{len(unknown)} unknown, {len(reshaped)} of another shape (the first: "
            f"{(missing + unknown + reshaped)[0]}); give the whole state dict of a VQGAN without changes to its layers"
        )
    # A step has been made and the seed is fixed: training goes on from this codebook, and two conversions are equal.
    began = {"quantizer.seed": torch.tensor(0), "quantizer.steps": torch.tensor(1)}
    return began | {ours: source.tensors[theirs].float().reshape(own[ours].shape) for ours, theirs in names.items()}


def _trimmed(tensor: Tensor) -> tuple[int, ...]:
    """A shape without ones at its end: a linear layer's (C, C) is a 1x1 convolution's (C, C, 1, 1)."""
    shape = [*tensor.shape]
    while shape and shape[-1] == 1:
        shape.pop()
    return tuple(shape)
