"""Moving from vector-quantize-pytorch: one import changes, and checkpoints load in both directions.

Run ``python examples/from_vector_quantize_pytorch.py``: seconds. It compares the two where the other
library is installed.
"""

from __future__ import annotations

import argparse

import torch

import gridcode as gc

# from vector_quantize_pytorch import FSQ, ResidualFSQ
from gridcode.compat.vector_quantize_pytorch import FSQ, ResidualFSQ


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=100, help="thousands of latents to compare")
    latents = torch.randn(1, 1000 * parser.parse_args().steps, 4, generator=torch.Generator().manual_seed(0))

    # Arguments, return values and the names of the state dict are those of vector-quantize-pytorch.
    ours = FSQ(levels=[8, 5, 5, 5])
    codes, indices = ours(latents)
    assert torch.equal(ours.indices_to_codes(indices), codes)

    residual = ResidualFSQ(levels=[5, 5, 5, 5], num_quantizers=3)
    _, stages = residual(latents)
    print(f"residual indices {tuple(stages.shape)}")

    try:
        import vector_quantize_pytorch as peer
    except ImportError:
        print("vector-quantize-pytorch is not installed; nothing to compare with")
    else:
        theirs = peer.FSQ(levels=[8, 5, 5, 5])
        ours.load_state_dict(theirs.state_dict())  # strictly, and so in the other direction
        theirs.load_state_dict(ours.state_dict())
        same = (theirs(latents)[1] == indices).double().mean().item()
        print(f"equal indices: {same:.6%} of {indices.numel():,}")

    # For new code: the same quantizer by its form, with indices of 64 bits and errors that say what to do.
    new = gc.FSQ([8, 5, 5, 5], form="atanh")
    assert torch.equal(new(latents).indices.flatten(), indices.long().flatten())
    print("gc.FSQ(..., form='atanh') gives the same indices")


if __name__ == "__main__":
    main()
