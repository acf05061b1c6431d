"""vector-quantize-pytorch's FSQ family (as of its version 1.32), computed by gridcode's quantizers.

    from vector_quantize_pytorch import FSQ                    # before
    from gridcode.compat.vector_quantize_pytorch import FSQ    # after

``FSQ``, ``ResidualFSQ`` and ``GroupedResidualFSQ`` take the same arguments, return the same values (a tuple of
quantized and int32 indices), have the same names in their state dicts, so that checkpoints load strictly both ways,
and draw the same random numbers, so that a seed gives the same initial weights and drops the same stages. The modules
are called as there, too (``finite_scalar_quantization``, ``residual_fsq``).

Which of gridcode's forms they are (``gridcode.quantize.fsq.forms``):

    FSQ(levels)                               FSQ(levels, form="atanh"), eps = 1e-3
    FSQ(levels, preserve_symmetry=True)       FSQ(levels, form="symmetric")
    ResidualFSQ(levels=..., num_quantizers=q) hard-clamped symmetric stages (``clamped.py``)

Differs from vector-quantize-pytorch:
    What is wrong there:

    - Codebooks of more than 2^24 codes have the right indices (there the digits are summed in float32; of [8] * 9, 63 %
      are wrong). Codebooks beyond 2^31 have int64 indices, all others int32.
    - bf16 and fp16 codes give back their index: digits are rounded one by one. Thresholds decide on an index, always
      in float32 or float64, so ``force_quantization_f32=False`` and 16-bit ``allowed_dtypes`` change nothing.
    - Wrong levels (0, 1, floats, none at all, too many for the form), indices outside [0, K) and wrong shapes are
      errors, always a ``GridcodeError``, never an ``AssertionError``. NaN latents are one too, or 0 with
      ``nan="zero"``, an argument which is added here; a gradient scaler that is to skip such steps needs it.
    - Empty batches work, images too; ``FSQ`` takes vectors without a batch, and ``ResidualFSQ`` any rank.
    - ``implicit_codebook`` and ``codebooks`` are made when they are read, and refused beyond 4 GiB (there, the
      constructor of a [4] * 16 codebook takes 34 GB at once).
    - The first stages of a ``ResidualFSQ`` decode alone, also of one without ``quantize_dropout``.
    - ``to_empty`` after the meta device loses nothing, since no constants lie in buffers.
    - A module that was cast to 16 bits decodes, and its residual stages are still computed in float32.
    - ``GroupedResidualFSQ(accept_image_fmap=True)`` works without ``is_channel_first=True``.

    As in versions after 1.32:

    - With ``is_channel_first`` the decoders of ``ResidualFSQ`` take the indices as ``forward`` returns them, (b, q,
      ...), give images back, and ``return_all_codes`` works for images.
    - With ``orthogonal_rotation``, ``codes_to_indices`` takes the rotated codes that ``forward`` returns; and
      ``ResidualFSQ`` decodes to what ``forward`` returned.

    What is left out: the other quantizers of that library and the arguments of ``ResidualFSQ`` that its stages cannot
    have, with an error that says so; the methods ``bound`` and ``symmetry_preserving_bound`` (use ``quantize``).

On the CPU, indices agree with version 1.32 on all but about 1 vector in a million, where a latent lies on a threshold
but for its last bit; those of ``ResidualFSQ`` agree altogether (with ``bound_hard_clamp=False``, on all but about 2 in
100,000 at the fourth stage).

Reference: Phil Wang and contributors, vector-quantize-pytorch 1.32, https://github.com/lucidrains/vector-quantize-pytorch
"""

import lazy_loader

from gridcode.errors import GridcodeError

_INSTEAD = {
    "VectorQuantize": "gridcode.quantize.VQ",
    "LFQ": "gridcode.quantize.LFQ",
    **dict.fromkeys(
        (
            "BinaryMapper",
            "EvoLFQ",
            "FSP",
            "GroupedResidualLFQ",
            "GroupedResidualVQ",
            "HierarchicalVQ",
            "LatentQuantize",
            "RandomProjectionQuantizer",
            "ResidualLFQ",
            "ResidualSimVQ",
            "ResidualVQ",
            "Sequential",
            "SimVQ",
        )
    ),
}
"""What that library has and this package has not, with the nearest thing in gridcode."""

_attached, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    if name in _INSTEAD:
        nearest = _INSTEAD[name]
        way = f"use {nearest}, which has another interface, or" if nearest else "gridcode has nothing like it:"
        raise GridcodeError(
            f"gridcode.compat.vector_quantize_pytorch has no {name}, only FSQ, ResidualFSQ and GroupedResidualFSQ; "
            f"{way} keep importing it from vector_quantize_pytorch"
        )
    value: object = _attached(name)
    return value
