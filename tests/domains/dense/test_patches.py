"""A look-up of labels is a linear layer on one-hot patches, and patches become maps again without loss."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from gridcode.domains.dense.networks import LabelEmbedding, make_embeddings, to_maps, to_patches


def one_hot_linear(embedding: LabelEmbedding, labels: torch.Tensor) -> torch.Tensor:
    """The layer as its formula has it: the P^2 K zeros and ones of a patch, times a matrix."""
    P, K = embedding.patch, embedding.values
    hot = F.one_hot(labels, K).to(embedding.weight)  # (B, H, W, K)
    B, H, W, _ = hot.shape
    rows = hot.view(B, H // P, P, W // P, P, K).permute(0, 1, 3, 2, 4, 5).reshape(B, H // P, W // P, P * P * K)
    return (rows @ embedding.weight).permute(0, 3, 1, 2)


@settings(max_examples=25, deadline=None)
@given(patch=st.integers(1, 4), h=st.integers(1, 4), w=st.integers(1, 4), values=st.integers(1, 7), data=st.data())
def test_the_lookup_is_the_linear_layer_on_one_hot_labels(
    patch: int, h: int, w: int, values: int, data: st.DataObject
) -> None:
    torch.manual_seed(data.draw(st.integers(0, 1000)))
    embedding = LabelEmbedding(values, 5, patch=patch).double()
    labels = torch.randint(values, (2, h * patch, w * patch))
    seen, wanted = embedding(labels), one_hot_linear(embedding, labels)
    assert seen.shape == (2, 5, h, w)
    torch.testing.assert_close(seen, wanted)
    way_back = torch.randn_like(wanted)
    gradients = [torch.autograd.grad((out * way_back).sum(), embedding.weight)[0] for out in (seen, wanted)]
    torch.testing.assert_close(*gradients)


@settings(max_examples=25, deadline=None)
@given(patch=st.integers(1, 4), h=st.integers(1, 4), w=st.integers(1, 4), channels=st.integers(1, 3))
def test_patches_and_maps_are_each_others_inverse(patch: int, h: int, w: int, channels: int) -> None:
    maps = torch.arange(2 * channels * h * w * patch**2).view(2, channels, h * patch, w * patch)
    patches = to_patches(maps, patch)
    for row in range(h):
        for column in range(w):
            square = maps[:, :, row * patch : (row + 1) * patch, column * patch : (column + 1) * patch]
            assert torch.equal(patches[:, :, row * w + column], square.flatten(2))
    assert torch.equal(to_maps(patches.movedim(1, -1), (h, w), patch), maps)


def test_features_of_random_labels_have_variance_one() -> None:
    torch.manual_seed(0)
    features = LabelEmbedding(50, 64, patch=8)(torch.randint(50, (8, 64, 64)))
    assert abs(features.var().item() - 1) < 0.05


def test_every_channel_has_an_embedding_and_colours_a_convolution() -> None:
    classes, instances = make_embeddings((4, 9), 6, patch=2)
    assert (tuple(classes.weight.shape), tuple(instances.weight.shape)) == ((2 * 2 * 4, 6), (2 * 2 * 9, 6))
    (colours,) = make_embeddings((), 6, patch=2)
    values = torch.rand(1, 3, 4, 6)
    weight, bias = colours.weight.detach().numpy(), colours.bias.detach().numpy()
    corner = np.einsum("cyx,dcyx->d", values[0, :, 2:4, 4:6].numpy(), weight) + bias
    np.testing.assert_allclose(colours(values)[0, :, 1, 2].detach().numpy(), corner, rtol=1e-4, atol=1e-5)
