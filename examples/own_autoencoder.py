"""FSQ inside your own autoencoder: two lines change, and there is no codebook loss.

Run ``python examples/own_autoencoder.py``: half a minute; the squared error falls to about 0.011.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor, nn

import gridcode as gc
from gridcode.data import DataConfig, open_split


class Autoencoder(nn.Module):
    """Images (B, 3, 32, 32) to an 8x8 grid of codes and back."""

    def __init__(self, levels: tuple[int, ...], width: int = 48) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, width, 4, 2, 1), nn.GELU(), nn.Conv2d(width, width, 4, 2, 1), nn.GELU(),
            nn.Conv2d(width, len(levels), 1),  # as many channels as there are levels
        )  # fmt: skip
        self.quantizer = gc.FSQ(levels, channel_dim=1)
        self.decoder = nn.Sequential(
            nn.Conv2d(len(levels), width, 3, 1, 1), nn.GELU(), nn.ConvTranspose2d(width, width, 4, 2, 1), nn.GELU(),
            nn.ConvTranspose2d(width, 3, 4, 2, 1),
        )  # fmt: skip

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstructions like the images, and indices (B, 8, 8)."""
        out = self.quantizer(self.encoder(images))
        return self.decoder(out.codes), out.indices


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=400)
    steps = parser.parse_args().steps
    torch.manual_seed(0)

    scenes = open_split(DataConfig(source="scenes", size=32, train_count=min(2000, 32 * steps)), "train")
    pictures = torch.stack([torch.tensor(scenes[number].image) for number in range(len(scenes))])
    pictures = pictures.permute(0, 3, 1, 2) / 127.5 - 1  # uint8 (n, H, W, 3) to floats in [-1, 1]

    model = Autoencoder(levels=(8, 5, 5, 5))
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3)
    for step in range(1, steps + 1):
        images = pictures[torch.randint(len(pictures), (32,))]
        reconstructions, indices = model(images)
        loss = (reconstructions - images).square().mean()  # no other term
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 50 == 0 or step == steps:
            used = len(indices.unique())
            print(f"step {step}: squared error {loss.item():.4f}, {used} of {indices.numel()} tokens differ")

    codes = model.quantizer.indices_to_codes(indices)  # integers are all that a file needs to hold
    print("decoded from integers alone:", tuple(model.decoder(codes).shape))


if __name__ == "__main__":
    main()
