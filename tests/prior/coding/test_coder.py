"""Tokens through a prior's probabilities and back; logits whose noise does not matter."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gridcode.errors import GridcodeError
from gridcode.prior import base
from gridcode.prior.ar import Autoregressive
from gridcode.prior.base import Prior
from gridcode.prior.bits import measure_bits
from gridcode.prior.coding import PriorCoder, decode_windows, encode_windows, in_float64
from gridcode.prior.coding.logits import MARGIN, OFFSET_FREQUENCIES, OFFSETS, as_steps, safe_offsets
from gridcode.prior.coding.windows import turns
from gridcode.prior.config import AutoregressiveConfig, MaskGITConfig, PriorConfig, TokenSpace
from gridcode.prior.maskgit import MaskGIT
from gridcode.prior.samplers.config import PROPORTIONAL
from gridcode.store.reader import TokenTable

LEVELS = (5, 4, 3)
SMALL = {"width": 16, "depth": 2, "heads": 2, "mlp": 32}
CONFIGS: dict[str, PriorConfig] = {
    "maskgit": MaskGITConfig(**SMALL),
    "modern, chain": MaskGITConfig(**SMALL, style="modern", head="chain"),
    "independent": MaskGITConfig(**SMALL, head="independent"),
    "ar": AutoregressiveConfig(**SMALL),
    "ar, chain": AutoregressiveConfig(**SMALL, head="chain"),
}


def made(name: str, grid: tuple[int, ...] = (3, 4)) -> Prior:
    """A prior that is far from uniform."""
    torch.manual_seed(0)
    config = CONFIGS[name]
    space = TokenSpace(60, grid, classes=("cat", "dog"), tokenizer="", data={}, levels=LEVELS)
    prior = (Autoregressive if name.startswith("ar") else MaskGIT)(config, space)  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return prior.eval()


def grids(n: int, N: int = 12) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    return torch.randint(0, 60, (n, N), generator=draw), torch.randint(-1, 2, (n,), generator=draw)


@pytest.mark.parametrize("name", CONFIGS)
def test_tokens_come_back_and_cost_their_cross_entropy(name: str) -> None:
    prior, (tokens, labels) = made(name), grids(70)
    coder = PriorCoder(prior)
    how = coder.settings(len(tokens))
    assert how.batch == 64  # so that the second batch is filled up
    data = coder.encode(tokens, labels, how)
    assert torch.equal(coder.decode(data, labels, how), tokens)
    bits = measure_bits(prior, TokenTable(tokens, labels, tuple(map(str, range(70))))).per_token
    assert 8 * len(data) / tokens.numel() == pytest.approx(bits, rel=0.01)


def test_a_prior_in_float64_predicts_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "fast_autocast", lambda device: nullcontext())  # bf16 draws other tokens
    for name in CONFIGS:
        prior, (tokens, labels) = made(name), grids(4)
        exact = in_float64(prior)
        assert {x.dtype for x in exact.state_dict().values() if x.is_floating_point()} == {torch.float64}
        torch.testing.assert_close(
            exact.log_probs(tokens, labels, steps=4), prior.log_probs(tokens, labels, steps=4), atol=1e-4, rtol=1e-4
        )
        assert next(prior.parameters()).dtype == torch.float32
        drawn = exact.predict(labels, PROPORTIONAL)
        assert torch.equal(drawn, prior.predict(labels, PROPORTIONAL))


class Noisy(nn.Module):
    """A head whose logits have noise, as those of another machine have."""

    def __init__(self, inner: nn.Module, size: float) -> None:
        super().__init__()
        self.inner, self.size = inner, size

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x)
        return out + self.size * (2 * torch.rand_like(out) - 1)


def test_noise_below_the_margin_changes_nothing_and_more_is_found() -> None:
    coder, (tokens, labels) = PriorCoder(made("independent")), grids(64)
    how = coder.settings(64)
    data = coder.encode(tokens, labels, how)
    head = coder.prior.vocabulary.out
    coder.prior.vocabulary.out = Noisy(head, MARGIN)  # type: ignore[assignment]
    assert torch.equal(coder.decode(data, labels, how), tokens)
    coder.prior.vocabulary.out = Noisy(head, 1e-2)  # type: ignore[assignment]
    assert not torch.equal(coder.decode(data, labels, how), tokens)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([MARGIN, 1e-3, 1e-2]))
def test_offsets_keep_logits_away_from_steps(seed: int, margin: float) -> None:
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(30, 6)) * 5
    logits[draw.random(logits.shape) < 0.1] = 0.5 + draw.uniform(-1, 1) * margin / 2  # at a step
    offsets = safe_offsets(logits, margin)
    assert 0 <= offsets.min() <= offsets.max() < OFFSETS
    # Where there is a way, noise of the margin changes no step.
    places = 16 * logits[None] + np.arange(OFFSETS)[:, None, None] / OFFSETS
    safe = (np.abs(places - np.round(places)).min(-1) > 16 * margin).any(0)
    assert safe.mean() > (0.9 if margin == MARGIN else -1)
    noise = draw.uniform(-1, 1, logits.shape) * margin * 0.999
    same = (as_steps(logits, offsets) == as_steps(logits + noise, offsets)).all(-1)
    assert same[safe].all()
    assert OFFSET_FREQUENCIES.sum() == 2**24


def test_logits_that_are_not_finite() -> None:
    for value in (np.nan, np.inf, -np.inf):
        with pytest.raises(GridcodeError, match="not finite"):
            as_steps(np.array([[0.0, value]]), np.array([0]))
        with pytest.raises(GridcodeError, match="not finite"):
            safe_offsets(np.array([[0.0, value]]))


def test_more_memory_than_an_encoder_takes_is_refused() -> None:
    coder = PriorCoder(made("maskgit"))
    how = coder.settings(20)
    coder.check(how, 20, "a.gc")
    with pytest.raises(GridcodeError, match=r"a\.gc claims 20 grids at a time, of 19 at most; it is damaged"):
        coder.check(how, 19, "a.gc")
    coder.check(replace(how, batch=64), 5000, "a.gc")
    with pytest.raises(GridcodeError, match="claims 65 grids at a time, of 64 at most"):
        coder.check(replace(how, batch=65), 5000, "a.gc")


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(1, 4))
def test_windows_code_every_token_once(H: int, W: int, h: int, w: int) -> None:
    if h > H or w > W:
        with pytest.raises(GridcodeError, match="as large at least"):
            list(turns((H, W), (h, w)))
        return
    seen = torch.zeros(H * W, dtype=torch.int64)
    for places, known in turns((H, W), (h, w)):
        assert torch.equal(seen[places] > 0, known)
        seen += torch.bincount(places[~known], minlength=H * W)
    assert torch.equal(seen, torch.ones_like(seen))


@pytest.mark.parametrize(("name", "grid", "window"), [("maskgit", (7, 5), (3, 4)), ("ar", (3, 5, 2), (2, 3, 2))])
def test_windows(name: str, grid: tuple[int, ...], window: tuple[int, ...]) -> None:
    coder, tokens = PriorCoder(made(name, window)), torch.arange(torch.Size(grid).numel()).view(grid) % 60
    how = coder.settings(2)
    data = encode_windows(coder, tokens, how)
    assert torch.equal(decode_windows(coder, data, grid, how), tokens)


PROGRAM = """
import sys, torch
from pathlib import Path
from gridcode.prior.coding import PriorCoder
from gridcode.prior.make import load_prior

coder, data = PriorCoder(load_prior(sys.argv[1])), Path(sys.argv[2]).read_bytes()
print(torch.backends.cpu.get_cpu_capability(), torch.get_num_threads())
print(coder.decode(data, torch.full((20,), -1), coder.settings(20)).flatten().tolist())
"""


def test_another_process_with_other_threads_and_instructions(tmp_path: Path) -> None:
    prior, (tokens, labels) = made("modern, chain"), grids(20)
    prior.save_pretrained(tmp_path / "prior")
    coder = PriorCoder(prior)
    (tmp_path / "coded").write_bytes(coder.encode(tokens, torch.full_like(labels, -1), coder.settings(20)))
    threads = "1" if torch.get_num_threads() > 1 else "2"
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": "default", "OMP_NUM_THREADS": threads}
    words = [sys.executable, "-c", PROGRAM, str(tmp_path / "prior"), str(tmp_path / "coded")]
    found = subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
    assert found == [f"DEFAULT {threads}", str(tokens.flatten().tolist())]
