"""What vector-quantize-pytorch tests of its FSQ family, on that library and on the compat package alike."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest
import torch

PEER, OURS = "vector_quantize_pytorch", "gridcode.compat.vector_quantize_pytorch"
LATER = pytest.mark.xfail(reason="repaired after version 1.32")

both = pytest.mark.parametrize("name", [PEER, OURS])
ours_and_later = pytest.mark.parametrize("name", [pytest.param(PEER, marks=LATER), OURS])


def library(name: str) -> ModuleType:
    pytest.importorskip(PEER)
    return importlib.import_module(name)


def seeded(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7))


@both
@pytest.mark.parametrize(
    ("shape", "index_shape", "settings"),
    [
        ((1, 1024, 4), (1, 1024), {}),
        ((1, 4, 32, 32), (1, 32, 32), {}),
        ((1, 4, 3, 8, 8), (1, 3, 8, 8), {}),
        ((1, 16, 1024), (1, 1024), {"dim": 16, "channel_first": True}),
        ((1, 16, 32, 32), (1, 32, 32), {"dim": 16, "channel_first": True}),
        ((1, 1024, 8), (1, 1024, 2), {"num_codebooks": 2}),
        ((1, 8, 32, 32), (1, 32, 32, 2), {"num_codebooks": 2}),
        ((1, 1024, 8), (1, 1024, 2), {"num_codebooks": 2, "keep_num_codebooks_dim": True}),
        ((1, 1024, 4), (1, 1024, 1), {"keep_num_codebooks_dim": True}),
        ((1, 16, 1024), (1, 1024, 2), {"dim": 16, "channel_first": True, "num_codebooks": 2}),
        ((1, 16, 32, 32), (1, 32, 32, 2), {"dim": 16, "channel_first": True, "num_codebooks": 2}),
    ],
)
@pytest.mark.parametrize("symmetric", [False, True])
def test_indices_decode_to_what_forward_returned(
    name: str, shape: tuple[int, ...], index_shape: tuple[int, ...], settings: dict[str, object], symmetric: bool
) -> None:
    quantizer = library(name).FSQ([8, 5, 5, 5], preserve_symmetry=symmetric, **settings)
    quantized, indices = quantizer(seeded(*shape))
    assert quantized.shape == shape
    assert indices.shape == index_shape
    assert indices.dtype == torch.int32
    decoded = quantizer.indices_to_codes(indices)
    if symmetric and name == PEER:  # its two ways to a symmetric code differ in the last bit
        torch.testing.assert_close(quantized, decoded)
    else:
        assert torch.equal(quantized, decoded)


@both
@pytest.mark.parametrize("shape", [(1, 1024, 4), (1, 4, 32, 32)])
def test_indices_may_be_left_out(name: str, shape: tuple[int, ...]) -> None:
    quantized, indices = library(name).FSQ([8, 5, 5, 5], return_indices=False)(seeded(*shape))
    assert quantized.shape == shape
    assert indices is None


@both
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("rotated", [False, pytest.param(True, id="rotated")])
def test_codes_give_their_index_back(name: str, symmetric: bool, rotated: bool, request: pytest.FixtureRequest) -> None:
    if rotated and name == PEER:
        request.applymarker(LATER)
    torch.manual_seed(0)
    quantizer = library(name).FSQ([5, 5], preserve_symmetry=symmetric, orthogonal_rotation=rotated)
    indices = torch.arange(25, dtype=torch.int32).reshape(1, 25)
    assert torch.equal(quantizer.codes_to_indices(quantizer.indices_to_codes(indices)), indices)


@ours_and_later
@pytest.mark.parametrize("symmetric", [False, True])
def test_rotated_codes_and_their_indices_belong_together(name: str, symmetric: bool) -> None:
    torch.manual_seed(0)
    quantizer = library(name).FSQ([5, 5], preserve_symmetry=symmetric, orthogonal_rotation=True)
    quantized, indices = quantizer(seeded(2, 16, 2))
    torch.testing.assert_close(quantizer.indices_to_codes(indices), quantized)
    assert torch.equal(quantizer.codes_to_indices(quantized), indices)


@both
def test_residual_decodes_bit_for_bit(name: str) -> None:
    torch.manual_seed(0)
    quantizer = library(name).ResidualFSQ(dim=256, levels=[8, 5, 5, 3], num_quantizers=8).eval()
    quantized, indices = quantizer(seeded(1, 1024, 256))
    assert indices.shape == (1, 1024, 8)
    assert torch.equal(quantizer.get_output_from_indices(indices), quantized)


@both
@pytest.mark.parametrize("dim", [2, 4])
@pytest.mark.parametrize("dropout", [False, True])
def test_residual_returns_the_codes_of_its_stages(name: str, dim: int, dropout: bool) -> None:
    torch.manual_seed(0)
    quantizer = library(name).ResidualFSQ(dim=dim, levels=[3, 5], num_quantizers=3, quantize_dropout=dropout)
    quantized, indices, codes = quantizer(seeded(2, 5, dim), return_all_codes=True, rand_quantize_dropout_fixed_seed=1)
    assert indices.shape == (2, 5, 3)
    assert codes.shape == (3, 2, 5, 2)
    assert bool((indices == -1).any()) == dropout
    torch.testing.assert_close(quantizer.get_output_from_indices(indices), quantized)
    torch.testing.assert_close(quantizer.project_out(codes.sum(0)), quantized)


@ours_and_later
@pytest.mark.parametrize("dim", [2, 4])
@pytest.mark.parametrize("places", [(3,), (5,), (4, 3), (2, 4, 5)])  # 3 places are as many as stages
def test_residual_images_decode(name: str, dim: int, places: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    quantizer = library(name).ResidualFSQ(dim=dim, levels=[3, 5], num_quantizers=3, is_channel_first=True).eval()
    x = seeded(2, dim, *places)
    quantized, indices, codes = quantizer(x, return_all_codes=True)
    assert quantized.shape == x.shape
    assert indices.shape == (2, 3, *places)
    assert codes.shape == (3, 2, *places, 2)
    torch.testing.assert_close(quantizer.get_output_from_indices(indices), quantized)
    torch.testing.assert_close(quantizer.project_out(codes.sum(0)).movedim(-1, 1), quantized)


@both
@pytest.mark.parametrize("dim", [2, 4])
@pytest.mark.parametrize("places", [(3,), (4, 3)])
def test_residual_layouts_agree(name: str, dim: int, places: tuple[int, ...]) -> None:
    settings = {"dim": dim, "levels": [3, 5], "num_quantizers": 3}
    first = library(name).ResidualFSQ(**settings, is_channel_first=True).eval()
    last = library(name).ResidualFSQ(**settings).eval()
    last.load_state_dict(first.state_dict())
    x = seeded(2, dim, *places)
    quantized, indices = first(x)
    expected, expected_indices = last(x.movedim(1, -1).flatten(1, -2))
    torch.testing.assert_close(quantized.movedim(1, -1).flatten(1, -2), expected)
    assert torch.equal(indices.movedim(1, -1).flatten(1, -2), expected_indices)


@ours_and_later
@pytest.mark.parametrize("dim", [2, 4])
@pytest.mark.parametrize("places", [(5,), (4, 5)])
def test_residual_images_with_dropped_stages(name: str, dim: int, places: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    quantizer = library(name).ResidualFSQ(
        dim=dim, levels=[3, 5], num_quantizers=3, is_channel_first=True, quantize_dropout=True
    )
    x = seeded(2, dim, *places).requires_grad_()
    quantized, indices, codes = quantizer(x, return_all_codes=True, rand_quantize_dropout_fixed_seed=1)
    assert (indices[:, 1:] == -1).all()  # this seed keeps the first stage alone
    assert not codes[1:].any()
    coarse = indices[:, :1]
    torch.testing.assert_close(quantizer.get_output_from_indices(indices), quantized)
    torch.testing.assert_close(quantizer.get_output_from_indices(coarse), quantized)
    torch.testing.assert_close(quantizer.get_codes_from_indices(coarse), codes)
    (gradient,) = torch.autograd.grad(quantized.square().mean(), x)
    assert gradient.isfinite().all()
    assert gradient.any()


@ours_and_later
@pytest.mark.parametrize("dim", [4, 8])
@pytest.mark.parametrize("places", [(4, 5), (2, 4, 5)])
def test_grouped_images_decode(name: str, dim: int, places: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    quantizer = (
        library(name)
        .GroupedResidualFSQ(
            dim=dim, groups=2, levels=[3, 5], num_quantizers=3, accept_image_fmap=True, is_channel_first=True
        )
        .eval()
    )
    x = seeded(2, dim, *places)
    quantized, indices, _ = quantizer(x, return_all_codes=True)
    assert indices.shape == (2, 2, 3, *places)
    decoded = quantizer.get_output_from_indices(indices)
    assert decoded.shape == x.shape
    torch.testing.assert_close(decoded, quantized)
