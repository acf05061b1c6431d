"""Where the compat package is meant to differ from vector-quantize-pytorch: its errors and the errors it mends."""

from __future__ import annotations

import copy
import math
import re
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import gridcode.compat.vector_quantize_pytorch as ours
from gridcode.compat.vector_quantize_pytorch import FSQ, GroupedResidualFSQ, ResidualFSQ
from gridcode.errors import GridcodeError


def refused(message: str) -> Any:
    return pytest.raises(GridcodeError, match=re.escape(message))


def test_modules_have_the_names_they_have_there() -> None:
    from gridcode.compat.vector_quantize_pytorch.finite_scalar_quantization import FSQ as by_module
    from gridcode.compat.vector_quantize_pytorch.residual_fsq import GroupedResidualFSQ as grouped_by_module
    from gridcode.compat.vector_quantize_pytorch.residual_fsq import ResidualFSQ as residual_by_module

    assert (by_module, residual_by_module, grouped_by_module) == (FSQ, ResidualFSQ, GroupedResidualFSQ)
    assert sorted(ours.__all__) == ["FSQ", "GroupedResidualFSQ", "ResidualFSQ"]


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("LFQ", "use gridcode.quantize.LFQ, which has another interface, or keep importing it"),
        ("VectorQuantize", "use gridcode.quantize.VQ, which has another interface, or keep importing it"),
        ("SimVQ", "gridcode has nothing like it: keep importing it from vector_quantize_pytorch"),
    ],
)
def test_other_quantizers_name_the_way_out(name: str, way: str) -> None:
    with refused(f"gridcode.compat.vector_quantize_pytorch has no {name}, only FSQ, ") as error:
        getattr(ours, name)
    assert way in str(error.value)
    with pytest.raises(AttributeError):
        _ = ours.NoSuchName


def test_every_other_public_name_is_refused_by_name() -> None:
    peer = pytest.importorskip("vector_quantize_pytorch")
    classes = [name for name, value in vars(peer).items() if isinstance(value, type) and issubclass(value, nn.Module)]
    for name in set(classes) - set(ours.__all__):
        with pytest.raises(GridcodeError, match=name):
            getattr(ours, name)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"levels": []}, "levels: the sequence is empty"),
        ({"levels": [8, 1]}, "levels: entry 1 is 1"),
        ({"levels": [0]}, "levels: entry 0 is 0"),
        ({"levels": [2.5]}, "levels: entry 0 is 2.5"),
        ({"levels": [1001]}, "FSQ: form 'atanh' with eps 0.001 rounds to codes outside the codebook"),
        ({"levels": [2, 3]}, "levels [2, 3] hold a 2, which needs preserve_symmetry=True"),
        ({"num_codebooks": 0}, "num_codebooks is 0; give a whole number from 1"),
        ({"num_codebooks": 2, "keep_num_codebooks_dim": False}, "leave keep_num_codebooks_dim=False out"),
        ({"noise_dropout": 0.5}, "noise_dropout=0.5 needs preserve_symmetry=True"),
        ({"noise_dropout": 1.5, "preserve_symmetry": True}, "noise_dropout is 1.5; give a probability in [0, 1]"),
        ({"nan": "skip"}, "nan is 'skip'"),
    ],
    ids=str,
)
def test_wrong_settings_of_fsq(arguments: dict[str, Any], message: str) -> None:
    with refused(message):
        FSQ(**{"levels": [5, 5], **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"levels": [5, 1]}, "levels: entry 1 is 1"),
        ({"num_quantizers": 0}, "num_quantizers is 0; give a whole number from 1"),
        ({"num_codebooks": 2}, "its stages take no num_codebooks: they are symmetric"),
        ({"return_indices": False, "channel_first": True}, "its stages take no channel_first, return_indices:"),
        ({"preserve_symmetry": False}, "its stages take no preserve_symmetry"),
        ({"soft_clamp_input_value": 1.5}, "soft_clamp_input_value is fixed by bound_hard_clamp=True"),
        ({"bound_hard_clamp": False, "soft_clamp_input_value": [1.0] * 3}, "one for each of the 2 levels"),
        ({"bound_hard_clamp": False, "soft_clamp_input_value": 0.0}, "give a number above 0"),
        ({"quantize_dropout_cutoff_index": 3}, "quantize_dropout_cutoff_index is 3; give one in [0, 3)"),
        ({"quantize_dropout_multiple_of": 0}, "quantize_dropout_multiple_of is 0"),
    ],
    ids=str,
)
def test_wrong_settings_of_residual_fsq(arguments: dict[str, Any], message: str) -> None:
    with refused(message):
        ResidualFSQ(**{"levels": [5, 5], "num_quantizers": 3, **arguments})


def test_wrong_settings_of_grouped_residual_fsq() -> None:
    with refused("dim=5 is no multiple of groups=2"):
        GroupedResidualFSQ(dim=5, groups=2, levels=[5], num_quantizers=2)
    with refused("name two places for the channels; leave is_channel_first out"):
        GroupedResidualFSQ(dim=4, groups=2, levels=[5], num_quantizers=2, is_channel_first=True)


@pytest.mark.parametrize("clamp", [False, True])
def test_wrong_latents(clamp: bool) -> None:
    quantizer = FSQ([8, 5], bound_hard_clamp=clamp)
    with refused("latents of shape (1, 7, 3) have 3 channels in dimension -1, it needs 2; give the channels last"):
        quantizer(torch.zeros(1, 7, 3))
    with refused("have 7 channels in dimension 1, it needs 2; give the channels after the batch"):
        quantizer(torch.zeros(1, 7, 7, 2))
    with refused("latents are torch.int64; give floats"):
        quantizer(torch.zeros(1, 7, 2, dtype=torch.int64))
    with refused("2 of 14 latents are NaN"):
        quantizer(torch.tensor([math.nan] * 2 + [0.0] * 12).reshape(1, 7, 2))
    with refused("latents of shape (1, 7, 3) have 3 channels"):
        quantizer.quantize(torch.zeros(1, 7, 3))
    with refused("latents of shape (2,) have no channels in dimension 1"):
        FSQ([8, 5], channel_first=True)(torch.zeros(2))


def test_nan_may_count_as_zero() -> None:
    x = torch.randn(1, 7, 2)
    x[0, 3] = math.nan
    for clamp in (False, True):
        quantizer = FSQ([8, 5], bound_hard_clamp=clamp, nan="zero")
        assert torch.equal(quantizer(x)[1], quantizer(x.nan_to_num(0.0))[1])
    residual = ResidualFSQ(levels=[8, 5], num_quantizers=3, nan="zero")
    assert torch.equal(residual(x)[1], residual(x.nan_to_num(0.0))[1])
    with refused("2 of 14 latents are NaN"):
        ResidualFSQ(levels=[8, 5], num_quantizers=3)(x)


def test_wrong_indices_and_codes() -> None:
    quantizer = FSQ([8, 5])
    for wrong in (40, -1):
        with refused(f"saw index {wrong}, but indices of levels [8, 5] lie in [0, 40)"):
            quantizer.indices_to_codes(torch.tensor([[wrong]]))
        with refused(f"saw index {wrong}"):
            quantizer.indices_to_level_indices(torch.tensor([[wrong]]))
    with refused("indices are torch.float32"):
        quantizer.indices_to_codes(torch.zeros(1, 1))
    with refused("1 of 2 code components are not codes"):
        quantizer.codes_to_indices(torch.tensor([[7.0, 0.0]]))
    with refused("do not end with num_codebooks=2"):
        FSQ([8, 5], num_codebooks=2).indices_to_codes(torch.zeros(1, 3, dtype=torch.int32))
    with refused("channel_first needs indices with a batch"):
        FSQ([8, 5], channel_first=True).indices_to_codes(torch.tensor(3))


def test_wrong_residual_indices() -> None:
    quantizer = ResidualFSQ(levels=[5, 5], num_quantizers=3)
    with refused("indices of shape (1, 2, 4) have 4 stages in dimension -1, it needs 1 to 3"):
        quantizer.get_codes_from_indices(torch.zeros(1, 2, 4, dtype=torch.int64))
    for wrong in (25, -2):
        with refused(f"saw index {wrong}"):
            quantizer.get_output_from_indices(torch.full((1, 2, 3), wrong))
    with refused("are not those of 2 groups"):
        GroupedResidualFSQ(dim=4, groups=2, levels=[5, 5], num_quantizers=2).get_output_from_indices(
            torch.zeros(3, 1, 2, 2, dtype=torch.int64)
        )


@pytest.mark.parametrize(("levels", "dtype"), [([8] * 9, torch.int32), ([16] * 10, torch.int64)])
@pytest.mark.parametrize("symmetric", [False, True])
def test_large_books_have_the_right_indices(levels: list[int], dtype: torch.dtype, symmetric: bool) -> None:
    quantizer = FSQ(levels, preserve_symmetry=symmetric)
    codes, indices = quantizer(2 * torch.randn(1, 5000, len(levels)))
    assert indices.dtype == dtype
    assert torch.equal(quantizer.indices_to_codes(indices), codes)
    assert torch.equal(quantizer.codes_to_indices(codes), indices)
    digits = quantizer.indices_to_level_indices(indices)[0].tolist()
    assert indices[0].tolist() == [sum(g * levels[0] ** place for place, g in enumerate(row)) for row in digits]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("symmetric", [False, True])
def test_codes_of_16_bits_give_their_index_back(dtype: torch.dtype, symmetric: bool) -> None:
    quantizer = FSQ([8, 8, 8, 6, 5], preserve_symmetry=symmetric)
    codes, indices = quantizer(torch.randn(1, 20_000, 5).to(dtype))
    assert codes.dtype == dtype
    assert torch.equal(quantizer.codes_to_indices(codes), indices)


def test_tables_are_made_when_read() -> None:
    quantizer = FSQ([4] * 16)  # 256 GiB of codes
    assert quantizer.codebook_size == 2**32
    with refused("implicit_codebook of levels [4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4] would take 256 GiB"):
        _ = quantizer.implicit_codebook
    residual = ResidualFSQ(levels=[4] * 16, num_quantizers=2)
    codes, indices = residual(torch.randn(1, 5, 16))
    assert torch.equal(residual.get_output_from_indices(indices), codes)
    assert FSQ([8, 5], dim=3).half().implicit_codebook.dtype == torch.float16


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (0, 4, 3, 3), (2, 4, 0, 3), (4,), (3, 4)])
def test_any_number_of_vectors(shape: tuple[int, ...]) -> None:
    place = 1 if len(shape) == 4 else -1
    codes, indices = FSQ([8, 5, 5, 5])(torch.randn(shape))
    left = list(shape)
    left.pop(place)
    assert codes.shape == shape
    assert list(indices.shape) == left
    residual = ResidualFSQ(levels=[8, 5, 5, 5], num_quantizers=2, is_channel_first=place == 1)
    codes, indices = residual(torch.randn(shape))
    assert codes.shape == shape
    assert residual.get_output_from_indices(indices).shape == shape


def test_residual_takes_grids_with_the_channels_last() -> None:
    quantizer = ResidualFSQ(levels=[5, 3], num_quantizers=3)
    x = torch.randn(2, 4, 5, 2)
    codes, indices = quantizer(x)
    expected, expected_indices = quantizer(x.flatten(1, 2))
    assert torch.equal(codes.flatten(1, 2), expected)
    assert torch.equal(indices.flatten(1, 2), expected_indices)
    assert torch.equal(quantizer.get_output_from_indices(indices), codes)


def test_first_stages_decode_alone() -> None:
    quantizer = ResidualFSQ(levels=[5, 3], num_quantizers=4)
    x = torch.randn(1, 500, 2)
    _, indices = quantizer(x)
    clamp = quantizer.soft_clamp_input_value
    assert clamp is not None
    target = (x / clamp).tanh() * clamp
    half_bins = clamp - 1  # of the first stage; each further one is L times as fine
    for stages in range(1, 5):
        error = (quantizer.get_output_from_indices(indices[..., :stages]) - target).abs()
        bound = half_bins / torch.tensor([5.0, 3.0]) ** (stages - 1)
        assert (error <= bound + 1e-6).all()


def test_rotated_residual_decodes_to_what_it_returned() -> None:
    quantizer = ResidualFSQ(levels=[5, 5, 5], num_quantizers=3, orthogonal_rotation=True)
    codes, indices = quantizer(torch.randn(1, 50, 3))
    torch.testing.assert_close(quantizer.get_output_from_indices(indices), codes)


def test_meta_device_loses_nothing() -> None:
    with torch.device("meta"):
        fsq = FSQ([8, 5], dim=3, orthogonal_rotation=True)
        residual = ResidualFSQ(levels=[8, 5], num_quantizers=2)
    original = FSQ([8, 5], dim=3, orthogonal_rotation=True)
    fsq.to_empty(device="cpu").load_state_dict(original.state_dict())
    x = torch.randn(1, 9, 3)
    assert torch.equal(fsq(x)[0], original(x)[0])
    assert fsq._levels.tolist() == [8, 5]
    z = torch.randn(1, 9, 2)
    fresh = ResidualFSQ(levels=[8, 5], num_quantizers=2)
    assert torch.equal(residual.to_empty(device="cpu")(z)[0], fresh(z)[0])
    assert torch.equal(copy.deepcopy(residual)(z)[0], fresh(z)[0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_modules_of_16_bits_decode(dtype: torch.dtype) -> None:
    x = torch.randn(1, 9, 3).to(dtype)
    fsq = FSQ([8, 5], dim=3).to(dtype)
    codes, indices = fsq(x)
    assert torch.equal(fsq.indices_to_codes(indices), codes)
    residual = ResidualFSQ(levels=[8, 5], num_quantizers=3, dim=3).to(dtype)
    codes, indices = residual(x)
    assert codes.dtype == dtype
    assert torch.equal(residual.get_output_from_indices(indices), codes)


def test_grouped_images_need_one_argument() -> None:
    quantizer = GroupedResidualFSQ(dim=4, groups=2, levels=[5, 3], num_quantizers=2, accept_image_fmap=True)
    x = torch.randn(2, 4, 5, 3)
    codes, indices = quantizer(x)
    assert indices.shape == (2, 2, 2, 5, 3)
    assert torch.equal(quantizer.get_output_from_indices(indices), codes)
    codes_of_stages = quantizer.get_codes_from_indices(indices)
    assert codes_of_stages.shape == (2, 2, 2, 5, 3, 2)


@pytest.mark.parametrize(
    "quantizer",
    [
        FSQ([8, 5], dim=3, num_codebooks=2),
        FSQ([8, 5], dim=3, bound_hard_clamp=True),
        ResidualFSQ(levels=[5, 5], dim=3, num_quantizers=2),
    ],
    ids=["fsq", "clamped", "residual"],
)
def test_one_graph(quantizer: nn.Module) -> None:
    x = torch.randn(1, 9, 3)
    compiled = torch.compile(quantizer, fullgraph=True, backend="eager")
    for got, expected in zip(compiled(x), quantizer(x), strict=True):
        torch.testing.assert_close(got, expected)


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_whatever_the_settings_indices_decode(data: st.DataObject) -> None:
    symmetric = data.draw(st.booleans(), label="symmetric")
    levels = data.draw(st.lists(st.integers(2 if symmetric else 3, 1000), min_size=1, max_size=6), label="levels")
    codebooks = data.draw(st.integers(1, 3), label="codebooks")
    channels = codebooks * len(levels)
    dim = data.draw(st.sampled_from([None, channels + 1]), label="dim")
    first = data.draw(st.booleans(), label="channel_first")
    quantizer = FSQ(
        levels,
        dim,
        codebooks,
        preserve_symmetry=symmetric,
        channel_first=first,
        bound_hard_clamp=data.draw(st.booleans(), label="clamp"),
    )
    places = data.draw(st.lists(st.integers(0, 3), min_size=2, max_size=4), label="places")
    x = 3 * torch.randn(*places, dim or channels)
    if first or x.ndim >= 4:
        x = x.movedim(-1, 1)
    codes, indices = quantizer(x)
    assert indices is not None
    assert codes.shape == x.shape
    assert indices.shape == (*places, codebooks)[: len(places) + (codebooks > 1)]
    torch.testing.assert_close(quantizer.indices_to_codes(indices), codes)
    digits = quantizer.indices_to_level_indices(indices)
    assert ((digits >= 0) & (digits < torch.tensor(levels))).all()
