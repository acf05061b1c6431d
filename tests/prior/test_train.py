"""Stage II at the smallest size: its batches, what it learns, and what it refuses."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.prior import train
from gridcode.prior.ar import Autoregressive
from gridcode.prior.config import Head, MaskGITConfig, MaskingConfig, PriorRun, autoregressive
from gridcode.prior.maskgit import MaskGIT
from gridcode.prior.noise import Noise
from gridcode.prior.samplers.config import SamplerConfig
from gridcode.prior.samplers.fill import fill_masked
from gridcode.prior.train import TokenBatch, held_out_tokens, measure_prior, token_batch, token_space, train_prior
from gridcode.store.reader import TokenStore, TokenTable
from gridcode.store.writer import StoreWriter
from gridcode.training.config import LoopConfig, OptimConfig
from gridcode.training.log import read_log
from gridcode.training.run import RunOptions
from gridcode.training.seeding import fixed_sample

K, GRID = 12, (2, 4)
LOOP = LoopConfig(
    steps=4, batch_size=8, log_every=2, val_every=4, checkpoint_every=2, accelerator="cpu", precision="fp32"
)
RUN = PriorRun(model=MaskGITConfig(width=32, depth=2, heads=2, mlp=64, dropout=0.0), loop=LOOP)

MakeStore = Callable[..., TokenStore]


def pattern(labels: Tensor) -> Tensor:
    """Class c is the grid that counts from 3 c in steps of c + 1."""
    return ((3 * labels[:, None] + (labels[:, None] + 1) * torch.arange(8)) % K).view(-1, *GRID)


@pytest.fixture
def make_store(tmp_path: Path) -> MakeStore:
    def make(
        name: str = "tokens",
        *,
        classes: tuple[str, ...] = ("a", "b", "c"),
        val: int = 9,
        train: int = 30,
        tokenizer: str = "0123456789abcdef",
    ) -> TokenStore:
        folder = tmp_path / name
        quantizer = {"name": "fsq", "levels": [4, 3]}
        with StoreWriter(
            folder, quantizer=quantizer, codebook_size=K, grid=GRID, tokenizer=tokenizer, data={}, classes=classes
        ) as writer:
            for split, count in (("train", train), ("val", val)):
                labels = torch.arange(count) % 3
                known = labels if classes else torch.full((count,), -1)
                writer.write(split, pattern(labels), known, [f"{split}-{n}" for n in range(count)])
        return TokenStore.open(folder)

    return make


def quiet(out: Path, **flags: bool) -> RunOptions:
    return RunOptions(out, show=False, **flags)


def table(rows: int = 20) -> TokenTable:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, K, (rows, 8), generator=generator)
    return TokenTable(tokens, torch.arange(rows), tuple(str(n) for n in range(rows)))


class TestBatches:
    @pytest.mark.parametrize("world", [2, 4])
    def test_processes_share_the_batch_of_one(self, world: int) -> None:
        for step in (0, 2, 7):
            whole = token_batch(table(), RUN, step=step)
            parts = [token_batch(table(), RUN, step=step, rank=rank, world=world) for rank in range(world)]
            for name in ("tokens", "condition", "targets"):
                together = torch.cat([getattr(part, name) for part in parts])
                assert torch.equal(together, getattr(whole, name)), name

    def test_a_batch_that_processes_cannot_share_is_refused(self) -> None:
        with pytest.raises(GridcodeError, match=r"loop\.batch_size=8 cannot be shared by 3 processes"):
            token_batch(table(), RUN, step=0, world=3)

    def test_an_autoregressive_batch_asks_for_every_token(self) -> None:
        run = autoregressive(RUN)
        whole = token_batch(table(), run, step=1)
        assert whole.targets.all()
        half = token_batch(table(), run, step=1, rank=1, world=2)
        assert torch.equal(half.tokens, whole.tokens[4:])
        assert torch.equal(half.condition, whole.condition[4:])

    def test_an_epoch_holds_every_example_once(self) -> None:
        run = replace(RUN, masking=MaskingConfig(label_dropout=0.0))
        seen = torch.cat([token_batch(table(), run, step=step).condition for step in range(5)])
        assert sorted(seen[:20].tolist()) == sorted(seen[20:].tolist()) == list(range(20))
        assert seen[:20].tolist() != seen[20:].tolist()

    def test_labels_stay_with_their_tokens(self) -> None:
        rows, run = table(), replace(RUN, masking=MaskingConfig(label_dropout=0.0))
        batch = token_batch(rows, run, step=1)
        assert torch.equal(batch.tokens, rows.tokens[batch.condition])

    def test_the_share_of_dropped_labels_is_the_settings(self) -> None:
        run = replace(RUN, loop=replace(LOOP, batch_size=5000), masking=MaskingConfig(label_dropout=0.3))
        dropped = (token_batch(table(), run, step=0).condition == -1).double().mean().item()
        assert dropped == pytest.approx(0.3, abs=4 * math.sqrt(0.3 * 0.7 / 5000))
        assert token_batch(table(), run, step=0).targets.sum(1).min() >= math.ceil(0.45 * 8)

    def test_steps_and_seeds_have_masks_of_their_own(self) -> None:
        first = token_batch(table(), RUN, step=0)
        assert torch.equal(first.targets, token_batch(table(), RUN, step=0).targets)
        assert not torch.equal(first.targets, token_batch(table(), RUN, step=1).targets)
        other = replace(RUN, loop=replace(LOOP, seed=1))
        assert not torch.equal(first.targets, token_batch(table(), other, step=0).targets)


class TestTraining:
    def test_an_obvious_pattern_is_learned_and_sampled_by_class(self, tmp_path: Path, make_store: MakeStore) -> None:
        run = replace(
            RUN,
            loop=replace(LOOP, steps=150, batch_size=16, val_every=50, checkpoint_every=150),
            optim=OptimConfig(lr=5e-3, betas=(0.9, 0.96), warmup=20, ema=0.9),
        )
        prior = train_prior(run, make_store(), quiet(tmp_path / "run"))
        losses = [line["val/loss"] for line in read_log(tmp_path / "run") if "val/loss" in line]
        assert len(losses) == 3
        assert losses[-1] < 0.35 < math.log(K) < 2.7
        labels = torch.tensor([0, 1, 2, 2, 1, 0])
        filled = fill_masked(
            prior.conditional(labels),
            torch.full((6, 8), prior.mask),
            mask=prior.mask,
            grid=GRID,
            guidance=0.5,
            config=SamplerConfig(steps=4, temperature=0.0),
            noise=Noise.of_examples(0, torch.arange(6)),
        )
        assert torch.equal(filled.view(6, *GRID), pattern(labels))

    def test_the_same_run_gives_the_same_bytes(self, tmp_path: Path, make_store: MakeStore) -> None:
        store = make_store()
        run = replace(RUN, model=replace(RUN.model, dropout=0.2))
        for name in ("a", "b"):
            train_prior(run, store, quiet(tmp_path / name))
        train_prior(replace(run, loop=replace(LOOP, seed=1)), store, quiet(tmp_path / "c"))
        a, b, c = ((tmp_path / name / "last" / "model.safetensors").read_bytes() for name in "abc")
        assert a == b != c

    @pytest.mark.parametrize("head", ["joint", "independent", "chain"])
    def test_an_autoregressive_prior_learns_the_pattern_too(
        self, tmp_path: Path, make_store: MakeStore, head: Head
    ) -> None:
        run = replace(
            RUN,
            model=replace(RUN.model, head=head),
            loop=replace(LOOP, steps=120, batch_size=16, val_every=120, checkpoint_every=120),
            optim=OptimConfig(lr=5e-3, betas=(0.9, 0.96), warmup=20, ema=0.9),
        )
        prior = train_prior(autoregressive(run), make_store(), quiet(tmp_path / "run"))
        assert isinstance(prior, Autoregressive)
        labels = torch.tensor([0, 1, 2, 2, 1, 0])
        filled = prior.fill(
            torch.full((6, 8), prior.mask),
            labels,
            config=SamplerConfig(temperature=0.0),
            guidance=0.5,
            noise=Noise.of_examples(0, torch.arange(6)),
        )
        assert torch.equal(filled.view(6, *GRID), pattern(labels))

    @pytest.mark.parametrize("head", ["independent", "chain"])
    def test_digit_heads_learn_the_pattern_too(self, tmp_path: Path, make_store: MakeStore, head: Head) -> None:
        run = replace(
            RUN,
            model=replace(RUN.model, head=head, style="modern"),
            loop=replace(LOOP, steps=180, batch_size=16, val_every=180, checkpoint_every=180),
            optim=OptimConfig(lr=5e-3, betas=(0.9, 0.96), warmup=20, ema=0.9),
        )
        prior = train_prior(run, make_store(), quiet(tmp_path / "run"))
        labels = torch.tensor([0, 1, 2, 2, 1, 0])
        filled = prior.fill(
            torch.full((6, 8), prior.mask),
            labels,
            config=SamplerConfig(steps=4, temperature=0.0),
            guidance=0.5,
            noise=Noise.of_examples(0, torch.arange(6)),
        )
        assert torch.equal(filled.view(6, *GRID), pattern(labels))

    @pytest.mark.parametrize("kind", ["chain", "ar"])
    def test_a_run_that_died_goes_on_to_the_same_bytes(
        self, tmp_path: Path, make_store: MakeStore, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store, run = make_store(), replace(RUN, model=replace(RUN.model, head="chain", style="modern", dropout=0.2))
        run = autoregressive(run) if kind == "ar" else run
        train_prior(run, store, quiet(tmp_path / "straight"))

        def die(table: TokenTable, config: PriorRun, *, step: int, rank: int = 0, world: int = 1) -> TokenBatch:
            if step == 3:
                raise KeyboardInterrupt
            return token_batch(table, config, step=step, rank=rank, world=world)

        with monkeypatch.context() as patch:
            patch.setattr(train, "token_batch", die)
            with pytest.raises(KeyboardInterrupt):
                train_prior(run, store, quiet(tmp_path / "died"))
        train_prior(run, store, quiet(tmp_path / "died", resume=True))
        straight, died = (
            (tmp_path / name / "last" / "model.safetensors").read_bytes() for name in ("straight", "died")
        )
        assert straight == died

    def test_a_checkpoint_of_the_other_prior_is_refused(self, tmp_path: Path, make_store: MakeStore) -> None:
        store = make_store()
        train_prior(RUN, store, quiet(tmp_path / "run"))
        other = replace(autoregressive(RUN), masking=RUN.masking)
        with pytest.raises(GridcodeError, match="was trained with prior='maskgit', now 'ar'"):
            train_prior(other, store, quiet(tmp_path / "run", resume=True))
        with pytest.raises(GridcodeError, match="is of a prior 'maskgit', not 'ar'"):
            train_prior(autoregressive(RUN), store, quiet(tmp_path / "other"), init_from=tmp_path / "run")

    def test_tokens_without_labels_are_learned(self, tmp_path: Path, make_store: MakeStore) -> None:
        prior = train_prior(RUN, make_store(classes=()), quiet(tmp_path / "run"))
        assert prior.space.classes == ()
        assert prior.mask == K

    def test_without_a_validation_split_the_training_tokens_are_measured(
        self, tmp_path: Path, make_store: MakeStore
    ) -> None:
        train_prior(RUN, make_store(val=0), quiet(tmp_path / "run"))
        assert any("val/loss" in line for line in read_log(tmp_path / "run"))

    def test_without_training_tokens_there_is_one_line(self, tmp_path: Path, make_store: MakeStore) -> None:
        with pytest.raises(GridcodeError, match=r"has no split 'train'; it has: val"):
            train_prior(RUN, make_store(train=0), quiet(tmp_path / "run"))

    def test_what_the_prior_knows_of_its_tokens_is_the_stores(self, tmp_path: Path, make_store: MakeStore) -> None:
        store = make_store()
        prior = train_prior(RUN, store, quiet(tmp_path / "run"))
        assert prior.space == token_space(store)
        assert (prior.space.codebook_size, prior.space.grid, prior.space.tokenizer) == (K, GRID, "0123456789abcdef")

    def test_resume_with_other_tokens_is_refused(self, tmp_path: Path, make_store: MakeStore) -> None:
        train_prior(RUN, make_store(), quiet(tmp_path / "run"))
        with pytest.raises(GridcodeError, match=r"trained with tokens\.tokenizer='0123456789abcdef', now 'fedcba98'"):
            train_prior(RUN, make_store("other", tokenizer="fedcba98"), quiet(tmp_path / "run", resume=True))
        with pytest.raises(GridcodeError, match=r"trained with tokens\.rows=30, now 31"):
            train_prior(RUN, make_store("longer", train=31), quiet(tmp_path / "run", resume=True))

    def test_init_from_starts_with_the_given_weights(self, tmp_path: Path, make_store: MakeStore) -> None:
        store = make_store()
        torch.manual_seed(3)
        start = MaskGIT(RUN.model, token_space(store))
        start.save_pretrained(tmp_path / "start")
        still = replace(RUN, optim=OptimConfig(lr=1e-12, weight_decay=0.0))
        tuned = train_prior(still, store, quiet(tmp_path / "run"), init_from=tmp_path / "start")
        for name, tensor in start.state_dict().items():
            torch.testing.assert_close(tuned.state_dict()[name], tensor, rtol=0, atol=1e-9)

    def test_init_from_another_shape_is_one_line(self, tmp_path: Path, make_store: MakeStore) -> None:
        store = make_store()
        MaskGIT(replace(RUN.model, mlp=48), token_space(store)).save_pretrained(tmp_path / "start")
        with pytest.raises(GridcodeError, match=r"start does not fit this model: .* of another shape") as caught:
            train_prior(RUN, store, quiet(tmp_path / "run"), init_from=tmp_path / "start")
        assert "\n" not in str(caught.value)


class TestMeasure:
    def test_knowing_nothing_costs_the_whole_vocabulary(self, make_store: MakeStore) -> None:
        store = make_store()
        prior = MaskGIT(RUN.model, token_space(store)).eval()
        with torch.no_grad():
            prior.vocabulary.embedding.weight.zero_()
        scores = measure_prior(prior, held_out_tokens(store.load("val"), batch_size=4), min_masked=0.45)
        assert scores["loss"] == pytest.approx(math.log(K + 3 + 1), rel=1e-5)

    def test_the_masks_are_fixed_and_the_limit_holds(self, make_store: MakeStore) -> None:
        store = make_store()
        torch.manual_seed(0)
        prior = MaskGIT(RUN.model, token_space(store)).eval()
        rows = store.load("train")
        first = measure_prior(prior, held_out_tokens(rows, batch_size=4, limit=8), min_masked=0.45)
        torch.rand(5)
        assert measure_prior(prior, held_out_tokens(rows, batch_size=4, limit=8), min_masked=0.45) == first
        even = torch.from_numpy(fixed_sample(len(rows.tokens), 8))
        part = TokenTable(rows.tokens[even], rows.labels[even], tuple(rows.keys[row] for row in even))
        assert measure_prior(prior, held_out_tokens(part, batch_size=4), min_masked=0.45) == first
        assert measure_prior(prior, held_out_tokens(rows, batch_size=4), min_masked=0.45) != first
