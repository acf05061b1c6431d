"""Binary spherical quantization: the sphere, its gradient, its loss. What it shares with LFQ is in ``test_lfq.py``."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcode.quantize.binary.bsq import BSQ


def latents(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@settings(max_examples=60, deadline=None)
@given(bits=st.integers(1, 63), shape=st.lists(st.integers(0, 4), max_size=3), data=st.data())
def test_any_rank_channel_dimension_and_dtype(bits: int, shape: list[int], data: st.DataObject) -> None:
    channel_dim = data.draw(st.integers(-len(shape) - 1, len(shape)))
    dtype = data.draw(st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]))
    place = channel_dim % (len(shape) + 1)
    z = latents(*shape[:place], bits, *shape[place:]).to(dtype)
    quantizer = BSQ(bits, channel_dim=channel_dim)
    out = quantizer(z)
    size = torch.tensor(1 / math.sqrt(bits), dtype=torch.float64)
    assert torch.equal(out.codes, torch.where(z > 0, size, -size).to(dtype))
    assert out.indices.shape == tuple(shape)
    assert torch.isfinite(out.loss)
    assert torch.equal(quantizer.codes_to_indices(out.codes), out.indices)
    assert torch.equal(quantizer.indices_to_codes(out.indices, dtype=dtype), out.codes)
    assert quantizer.relax(z).dtype == dtype


def test_relaxed_latents_and_codes_lie_on_the_unit_sphere() -> None:
    quantizer, z = BSQ(7), latents(40, 7)
    torch.testing.assert_close(quantizer.relax(z), z / z.norm(dim=1, keepdim=True))
    torch.testing.assert_close(quantizer(z).codes.norm(dim=1), torch.ones(40))


def test_length_changes_nothing() -> None:
    quantizer, z = BSQ(7, commitment=0.5), latents(40, 7).double()
    plain = quantizer(z)
    for factor in (1e-200, 1e-3, 1e200):
        out = quantizer(factor * z)
        assert torch.equal(out.indices, plain.indices)
        torch.testing.assert_close(out.loss, plain.loss)


@pytest.mark.parametrize("group", [1, 5])
def test_loss_is_that_of_the_paper(group: int) -> None:
    z = latents(30, 5).double()
    out = BSQ(5, group=group, entropy=0.3, diversity=0.7, commitment=0.2, temperature=0.1)(z)
    u = (z / z.norm(dim=1, keepdim=True)).numpy()
    p = 1 / (1 + np.exp(-2 * (2 / 0.1) * u / math.sqrt(5)))  # σ(2 τ u / √L), the paper's τ = 2 / temperature
    bits = (np.arange(32)[:, None] >> np.arange(5)) & 1
    joint = np.where(bits, p[:, None], 1 - p[:, None]).prod(-1)
    samples = -(joint * np.log(joint)).sum(1).mean()
    mean = joint.mean(0) if group == 5 else np.stack([p.mean(0), 1 - p.mean(0)])
    commitment = ((u - np.sign(u) / math.sqrt(5)) ** 2).sum(1).mean()
    expected = 0.3 * (samples + 0.7 * (mean * np.log(mean)).sum()) + 0.2 * commitment
    assert float(out.loss) == pytest.approx(expected, rel=1e-6)


def test_gradient_goes_through_the_sign_and_the_sphere() -> None:
    z = latents(9, 4).double().requires_grad_()
    upstream = latents(9, 4).double().flip(0)
    BSQ(4, entropy=0)(z).codes.backward(upstream)
    rows, length = z.detach().numpy(), np.linalg.norm(z.detach().numpy(), axis=1, keepdims=True)
    u = rows / length
    g = upstream.numpy() / math.sqrt(4)
    expected = (g - u * (u * g).sum(1, keepdims=True)) / length
    assert z.grad is not None
    np.testing.assert_allclose(z.grad.numpy(), expected, rtol=1e-10, atol=1e-12)


def test_zero_infinite_and_huge_vectors_have_finite_gradients() -> None:
    z = torch.tensor([[0.0, 0.0], [math.inf, 1.0], [-math.inf, math.inf], [3e38, -3e38], [1e-40, 0.0]])
    z.requires_grad_()
    quantizer = BSQ(2, commitment=0.25)
    out = quantizer(z)
    assert out.indices.tolist() == [0, 3, 2, 1, 1]
    assert torch.isfinite(out.loss)
    assert quantizer.relax(z)[0].tolist() == [0, 0]
    (out.codes.sum() + out.loss).backward()
    assert z.grad is not None
    assert not z.grad.isnan().any()
    assert torch.isfinite(z.grad[:4]).all()
