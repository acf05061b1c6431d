"""The whole VQ: its codebook against numpy, what it refuses, state, and two processes against one."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import multiprocessing

from gridcode.errors import GridcodeError
from gridcode.quantize.vq import (
    VQ,
    ByEMA,
    ByLoss,
    Discounted,
    EntropyLoss,
    KMeans,
    Nothing,
    RandomRestarts,
    RotationTrick,
    Splitting,
    UnitNorm,
    Update,
)

PRESETS = ("maskgit", "uvim", "plain")


def latents(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("preset", PRESETS)
def test_indices_are_the_nearest_codewords(preset: str) -> None:
    quantizer = getattr(VQ, preset)(37, 5, channel_dim=1).eval()
    z = latents(3, 5, 4, 2)
    out = quantizer(z)
    rows = quantizer.relax(z).movedim(1, -1).reshape(-1, 5).double().numpy()
    book = quantizer._codes_of_all(torch.float64).numpy()
    nearest = ((rows[:, None] - book[None]) ** 2).sum(-1).argmin(1)
    assert out.indices.flatten().tolist() == nearest.tolist()
    assert out.codes.shape == z.shape
    assert torch.equal(quantizer.indices_to_codes(out.indices), out.codes)
    assert torch.equal(quantizer.codes_to_indices(out.codes), out.indices)
    assert out.loss == 0


@pytest.mark.parametrize(("update", "scale"), [(ByEMA(decay=0.9), 0.1), (Discounted(decay=0.9), 1.0)])
def test_statistics_are_those_of_numpy(update: Update, scale: float) -> None:
    quantizer = VQ(7, 3, update=update)
    counts, sums, book = np.ones(7), quantizer.codebook.double().numpy().copy(), quantizer.codebook.double().numpy()
    for step in range(4):
        z = latents(40, 3, seed=step)
        rows = z.double().numpy()
        taken = ((rows[:, None] - book[None]) ** 2).sum(-1).argmin(1)
        out = quantizer(z)
        assert out.indices.tolist() == taken.tolist()
        counts = 0.9 * counts + scale * np.bincount(taken, minlength=7)
        sums = 0.9 * sums + scale * np.stack([rows[taken == k].sum(0) for k in range(7)])
        book = sums / counts[:, None]
        np.testing.assert_allclose(quantizer.codebook.double().numpy(), book, rtol=1e-5, atol=1e-5)


def test_losses_are_codebook_commitment_and_entropy() -> None:
    quantizer = VQ.maskgit(6, 3)
    z = latents(20, 3).requires_grad_()
    book = quantizer.codebook.detach().double().numpy()
    rows = z.detach().double().numpy()
    distances = ((rows[:, None] - book[None]) ** 2).sum(-1)
    chosen = book[distances.argmin(1)]
    logits = -distances / 0.01
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    mean = p.mean(0)
    entropy = -(p * np.log(np.maximum(p, 1e-300))).sum(1).mean() + (mean * np.log(mean + 1e-5)).sum()
    expected = 1.25 * ((rows - chosen) ** 2).mean() + 0.1 * entropy
    assert float(quantizer(z).loss.detach()) == pytest.approx(expected, rel=1e-4)


def test_the_straight_through_gradient_is_one_and_the_book_gets_none_from_codes() -> None:
    quantizer = VQ.plain(8, 3)
    z = latents(5, 3).requires_grad_()
    quantizer(z).codes.sum().backward()
    assert z.grad is not None
    assert torch.equal(z.grad, torch.ones_like(z))
    assert quantizer.codebook.grad is None


def test_the_rotation_trick_keeps_the_codes_and_turns_the_gradient() -> None:
    quantizer = VQ(8, 3, gradient=RotationTrick()).eval()
    z = latents(50, 3).requires_grad_()
    out = quantizer(z)
    assert torch.equal(out.codes, quantizer.indices_to_codes(out.indices))
    upstream = latents(50, 3, seed=1)
    (gradient,) = torch.autograd.grad(out.codes, z, upstream)
    scale = out.codes.norm(dim=1) / z.norm(dim=1)
    torch.testing.assert_close(gradient.norm(dim=1), scale * upstream.norm(dim=1), rtol=1e-4, atol=1e-6)
    cosine = torch.cosine_similarity
    torch.testing.assert_close(cosine(gradient, z), cosine(upstream, out.codes), rtol=1e-3, atol=1e-4)


def test_evaluation_learns_nothing() -> None:
    for preset in PRESETS:
        quantizer = getattr(VQ, preset)(16, 4).eval()
        before = copy.deepcopy(quantizer.state_dict())
        quantizer(latents(100, 4))
        assert all(torch.equal(before[name], value) for name, value in quantizer.state_dict().items())


def test_splitting_keeps_the_whole_book_in_use() -> None:
    alive, dying = VQ.uvim(64, 4), VQ(64, 4, update=Discounted(), distance=UnitNorm(latents="standardised"))
    narrow = latents(512, 4) * 0.05 + torch.tensor([1.0, 0.5, -0.3, 0.0])
    for _ in range(700):
        alive(narrow)
        dying(narrow)
    used = [len(quantizer.eval()(narrow).indices.unique()) for quantizer in (alive, dying)]
    assert used[0] > used[1]


def test_k_means_lowers_the_error() -> None:
    z = latents(400, 4)
    errors = []
    for iterations in (0, 10):
        torch.manual_seed(0)
        quantizer = VQ(16, 4, update=ByEMA(decay=0.99), start=KMeans(iterations=iterations))
        out = quantizer(z)
        errors.append(float((out.codes - z).square().mean()))
    assert errors[1] < errors[0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: VQ.uvim(32, 4),
        lambda: VQ(32, 4, update=ByEMA(), revival=RandomRestarts(), start=KMeans()),
        lambda: VQ.maskgit(32, 4),
    ],
)
def test_a_state_dict_goes_on_to_the_same_bits(make: object) -> None:
    assert callable(make)
    quantizer = make()
    for step in range(3):
        quantizer(latents(64, 4, seed=step))
    twin = make()
    twin.load_state_dict(quantizer.state_dict())
    for step in range(3, 6):
        for one in (quantizer, twin):
            one(latents(64, 4, seed=step))
    for name, value in quantizer.state_dict().items():
        assert torch.equal(value, twin.state_dict()[name]), name


@pytest.mark.parametrize(("rows", "restarted"), [(40, [1, 3, 4]), (2, [1, 3])])
def test_codewords_out_of_use_start_again_at_latents(rows: int, restarted: list[int]) -> None:
    quantizer = VQ(5, 4, update=ByEMA(decay=0.5), revival=RandomRestarts(threshold=0.3))
    z = latents(rows, 4)
    quantizer(z)
    with torch.no_grad():
        quantizer.codebook[[1, 3, 4]] = 1e3  # no latent is near
        quantizer.codebook[[0, 2]] = z[:2]
        assert quantizer.counts is not None
        quantizer.counts.fill_(0.5)
    quantizer(z)
    moved = quantizer.codebook[restarted]
    distances = (moved[:, None] - z[None]).abs().amax(-1)
    assert (distances.amin(1) == 0).all()
    assert len(distances.argmin(1).unique()) == len(restarted)
    torch.testing.assert_close(quantizer.counts[restarted], torch.full((len(restarted),), 0.6))
    assert (quantizer.codebook.abs().amax(1) > 100).sum() == 3 - len(restarted)


def test_what_is_no_vq_is_refused() -> None:
    with pytest.raises(GridcodeError, match="Splitting shares out sums, and ByLoss keeps none"):
        VQ(8, 2, update=ByLoss(), revival=Splitting())
    with pytest.raises(GridcodeError, match="revival is 'restart'"):
        VQ(8, 2, revival="restart")  # type: ignore[arg-type]
    with pytest.raises(GridcodeError, match="size is 1"):
        VQ.plain(1, 2)
    with pytest.raises(GridcodeError, match="1 of 8 latents are NaN or infinite"):
        VQ.plain(8, 2)(torch.tensor([[math.nan, 0.0], [0.0, 0.0], [1.0, 2.0], [3.0, 4.0]]))
    with pytest.raises(GridcodeError, match="float"):
        VQ.plain(8, 2)(torch.zeros(3, 2, dtype=torch.int64))
    with pytest.raises(GridcodeError, match="lie in"):
        VQ.plain(8, 2).indices_to_codes(torch.tensor([8]))
    with pytest.raises(GridcodeError, match="cannot be trained"):
        VQ.plain(8, 2).bfloat16()(torch.zeros(3, 2))


def test_an_empty_batch_changes_nothing() -> None:
    quantizer = VQ.uvim(8, 2)
    out = quantizer(torch.zeros(0, 2))
    assert out.codes.shape == (0, 2)
    assert out.loss == 0
    assert int(quantizer.steps) == 0


def test_bf16_latents_under_autocast() -> None:
    quantizer = VQ.maskgit(16, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = quantizer(latents(10, 4).bfloat16())
    assert out.codes.dtype == torch.bfloat16
    assert out.loss.dtype == torch.float32


def test_evaluation_compiles_whole() -> None:
    quantizer = VQ.plain(16, 4).eval()
    compiled = torch.compile(quantizer, fullgraph=True, backend="eager")
    z = latents(10, 4)
    assert torch.equal(compiled(z).indices, quantizer(z).indices)


def _books() -> dict[str, VQ]:
    torch.manual_seed(5)
    return {
        "ema": VQ(24, 4, update=ByEMA(decay=0.9)),
        "splitting": VQ(24, 4, update=Discounted(decay=0.9), revival=Splitting(threshold=0.5)),
        "restarts": VQ(24, 4, update=ByEMA(decay=0.5), revival=RandomRestarts(threshold=0.5), start=KMeans()),
        "nothing": VQ(24, 4, update=ByEMA(), revival=Nothing()),
        "entropy": VQ(24, 4, update=ByEMA(), revival=EntropyLoss()),
    }


def _train(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    books = _books()
    for step in range(5):
        for quantizer in books.values():
            quantizer(latents(60, 4, seed=step)[30 * rank : 30 * rank + 30])
    torch.save({name: dict(q.state_dict()) for name, q in books.items()}, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_have_the_book_of_one_with_the_joined_batch(tmp_path: Path) -> None:
    multiprocessing.start_processes(_train, args=(str(tmp_path),), nprocs=2, start_method="forkserver")
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    books = _books()
    for step in range(5):
        for quantizer in books.values():
            quantizer(latents(60, 4, seed=step))
    for name, quantizer in books.items():
        for key, value in quantizer.state_dict().items():
            assert torch.equal(first[name][key], second[name][key]), (name, key)
            torch.testing.assert_close(first[name][key], value, rtol=0, atol=1e-5)
