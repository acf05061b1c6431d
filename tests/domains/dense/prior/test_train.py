"""Training an image-conditioned prior at the smallest size: pairs by key, what it learns, how it resumes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from gridcode.data.workers import TrainOrder
from gridcode.domains.dense.data.config import DenseConfig
from gridcode.domains.dense.data.scenes import DenseScenes
from gridcode.domains.dense.data.source import DenseExample, DenseSource
from gridcode.domains.dense.prior import train
from gridcode.domains.dense.prior.config import DensePriorRun
from gridcode.domains.dense.prior.join import FLIP, PairBatch, Pairs, eval_pairs, join_by_key, train_pairs
from gridcode.domains.dense.prior.train import SCALE, held_out_pairs, join_split, scaled_optimizer, train_dense_prior
from gridcode.domains.dense.recipes import gpu, laptop, paper
from gridcode.errors import GridcodeError
from gridcode.prior.config import CrossAttentionConfig, Decoding, FeatureEncoderConfig, Head, TokenSpace
from gridcode.prior.encoder import FeatureEncoder
from gridcode.prior.make import make_prior, prior_class
from gridcode.prior.train import drawn_at, measure_prior
from gridcode.store.reader import TokenStore, TokenTable
from gridcode.store.writer import StoreWriter
from gridcode.tokenizer.domain import Sources
from gridcode.training.config import LoopConfig, OptimConfig
from gridcode.training.log import read_log
from gridcode.training.run import RunOptions

K, GRID, SIZE = 12, (2, 2), 16
DATA = DenseConfig(task="depth", height=SIZE, width=SIZE, workers=0)
TINY = CrossAttentionConfig(
    encoder=FeatureEncoderConfig(patch=8, width=32, depth=1, heads=2, mlp=64),
    width=32,
    depth=1,
    heads=2,
    mlp=64,
    dropout=0.0,
)
LOOP = LoopConfig(
    steps=4, batch_size=8, log_every=2, val_every=4, checkpoint_every=2, accelerator="cpu", precision="fp32"
)
RUN = DensePriorRun(data=DATA, model=TINY, optim=OptimConfig(lr=3e-3, warmup=1), loop=LOOP)


class Tiles(DenseSource):
    """Images of 2 x 2 tiles, K kinds of them; the code says which tile is where."""

    name = "tiles"
    in_memory = True

    def __init__(self, name: str, count: int, *, size: int = SIZE) -> None:
        self._name, self._count, self._size = name, count, size
        self._tiles = np.random.default_rng(0).integers(0, 2, (K, size // 2, size // 2)).astype(np.uint8) * 255
        self.codes = torch.from_numpy(np.random.default_rng(len(name)).integers(0, K, (count, *GRID)))

    def __len__(self) -> int:
        return self._count

    def key(self, index: int) -> str:
        return f"{self._name}-{index}"

    def __getitem__(self, index: int) -> DenseExample:
        image = np.block([[self._tiles[code] for code in row] for row in self.codes[index].tolist()])
        image = image[..., None].repeat(3, -1)
        return DenseExample(image, np.ones((1, self._size, self._size), np.float32), self.key(index))


TRAIN, VAL = Tiles("train", 400), Tiles("val", 20)
SOURCES = Sources(TRAIN, VAL)

MakeStore = Callable[..., TokenStore]


@pytest.fixture
def make_store(tmp_path: Path) -> MakeStore:
    def make(name: str = "tokens", *, val: int = 20, tokenizer: str = "0123456789abcdef", **data: object) -> TokenStore:
        with StoreWriter(
            tmp_path / name,
            quantizer={"name": "fsq", "levels": [4, 3]},
            codebook_size=K,
            grid=GRID,
            tokenizer=tokenizer,
            data=asdict(DATA) | data,
            classes=(),
        ) as writer:
            for split, source, count in (("train", TRAIN, 400), ("val", VAL, val)):
                rows = torch.randperm(count, generator=torch.Generator().manual_seed(0)).tolist()
                writer.write(split, source.codes[rows], torch.full((count,), -1), [source.key(row) for row in rows])
        return TokenStore.open(tmp_path / name)

    return make


def quiet(out: Path, **flags: bool) -> RunOptions:
    return RunOptions(out, show=False, **flags)


def take(batches: Iterator[PairBatch], count: int) -> list[PairBatch]:
    return [next(batches) for _ in range(count)]


class TestPairs:
    def pairs(self, make_store: MakeStore) -> Pairs:
        found = join_split(make_store(), "train", DATA, SOURCES)
        assert found is not None
        return found

    def test_tokens_meet_their_own_images(self, make_store: MakeStore) -> None:
        pairs = self.pairs(make_store)
        batches = list(eval_pairs(pairs, DATA, batch_size=150))
        assert [len(batch.tokens) for batch in batches] == [150, 150, 100]
        images, tokens = torch.cat([b.images for b in batches]), torch.cat([b.tokens for b in batches])
        half = images[:, 0].unfold(1, 8, 8).unfold(2, 8, 8).reshape(400, 4, 1, 8, 8)
        tiles = torch.from_numpy(TRAIN._tiles) / 127.5 - 1
        assert torch.equal((half == tiles).all((-1, -2)).long().argmax(-1), tokens)

    @pytest.mark.parametrize("world", [2, 4])
    def test_processes_share_the_batches_of_one_from_any_step(self, make_store: MakeStore, world: int) -> None:
        pairs = self.pairs(make_store)
        whole = take(train_pairs(pairs, DATA, TrainOrder(batch_size=40, seed=3)), 10)
        parts = [
            take(train_pairs(pairs, DATA, TrainOrder(batch_size=40, seed=3, start_step=4, rank=rank, world=world)), 6)
            for rank in range(world)
        ]
        for step in range(6):
            for name in ("images", "tokens"):
                together = torch.cat([getattr(part[step], name) for part in parts])
                assert torch.equal(together, getattr(whole[4 + step], name)), name
        epoch = torch.cat([batch.tokens for batch in whole])
        assert sorted(map(tuple, epoch.tolist())) == sorted(map(tuple, pairs.tokens.tolist()))

    def test_workers_change_nothing(self, make_store: MakeStore) -> None:
        pairs = self.pairs(make_store)
        pairs.source.in_memory = False
        try:
            there = take(train_pairs(pairs, replace(DATA, workers=1), TrainOrder(batch_size=8, seed=3)), 3)
        finally:
            pairs.source.in_memory = True
        here = take(train_pairs(pairs, DATA, TrainOrder(batch_size=8, seed=3)), 3)
        assert all(torch.equal(a.images, b.images) for a, b in zip(here, there, strict=True))

    def test_a_mirrored_row_has_the_mirrored_image(self) -> None:
        source = DenseScenes("depth", seed=0, start=0, count=2, size=SIZE)
        keys = (source.key(1), source.key(1) + FLIP)
        pairs = join_by_key(TokenTable(torch.zeros(2, 4).long(), torch.tensor([-1, -1]), keys), source, split="train")
        (batch,) = eval_pairs(pairs, DATA, batch_size=2)
        assert torch.equal(batch.images[1], batch.images[0].flip(-1))
        assert not torch.equal(batch.images[1], batch.images[0])

    def test_colour_shows_grey_images(self) -> None:
        source = DenseScenes("depth", seed=0, start=0, count=2, size=SIZE)
        table = TokenTable(torch.zeros(1, 4).long(), torch.tensor([-1]), (source.key(0),))
        pairs = join_by_key(table, source, split="train")
        (batch,) = eval_pairs(pairs, replace(DATA, task="colour"), batch_size=2)
        assert batch.images.shape == (1, 1, SIZE, SIZE)
        assert replace(RUN, data=replace(DATA, task="colour")).channels == 1

    def test_a_missing_image_is_one_line(self, make_store: MakeStore) -> None:
        few = Sources(Tiles("train", 396), SOURCES.val)
        match = r"tiles has no image 'train-\d+' of the token store's split 'train' \(4 of 400 are missing; its first"
        with pytest.raises(GridcodeError, match=match) as caught:
            join_split(make_store(), "train", DATA, few)
        assert "\n" not in str(caught.value)

    def test_a_batch_that_processes_cannot_share_is_refused(self, make_store: MakeStore) -> None:
        with pytest.raises(GridcodeError, match=r"batch_size 8 is not a positive multiple of the 3 processes"):
            train_pairs(self.pairs(make_store), DATA, TrainOrder(batch_size=8, seed=0, world=3))


class TestSteps:
    @pytest.mark.parametrize("prior", ["ar", "maskgit"])
    def test_what_is_predicted_depends_on_the_step_alone(self, prior: Decoding) -> None:
        def at(step: int) -> Tensor:
            targets, dropped = drawn_at(step, prior_class(TINY, prior), RUN.masking, shape=(8, 9), seed=0)
            assert not dropped.any()
            return targets

        whole = at(5)
        assert torch.equal(whole, at(5))
        assert whole.all() == (prior == "ar")
        assert (whole.sum(1) >= math.ceil(0.45 * 9)).all()
        assert torch.equal(whole, at(6)) == (prior == "ar")

    def test_the_encoder_learns_at_its_share_of_the_rate(self) -> None:
        prior = make_prior(TINY, TokenSpace(K, GRID, (), "", {}, (4, 3)), (3, SIZE, SIZE), decoding="ar")
        config = OptimConfig(lr=1e-2, weight_decay=0.5)
        optimizer = scaled_optimizer(prior, config, encoder_lr=0.1)
        where = {id(p): group for group in optimizer.param_groups for p in group["params"]}
        assert len(where) == sum(len(group["params"]) for group in optimizer.param_groups)
        for name, parameter in prior.named_parameters():
            group = where.pop(id(parameter))
            assert group[SCALE] == (0.1 if name.startswith("encoder.") else 1.0), name
            assert group["lr"] == pytest.approx(group[SCALE] * 1e-2)
            assert group["weight_decay"] == (0.5 if parameter.ndim >= 2 else 0.0), name
        assert not where

    def test_a_first_step_moves_the_encoder_by_a_tenth(self, tmp_path: Path, make_store: MakeStore) -> None:
        config = OptimConfig(lr=1e-3, weight_decay=0.0, warmup=0, clip=0.0, ema=0.0)
        run = replace(RUN, optim=config, encoder_lr=0.1, loop=replace(LOOP, steps=1))
        torch.manual_seed(train.derive_seed(0, "weights"))
        before = make_prior(TINY, TokenSpace(K, GRID, (), "", {}, (4, 3)), (3, SIZE, SIZE), decoding="ar")
        after = train_dense_prior(run, make_store(), quiet(tmp_path / "run"), sources=SOURCES)
        # Adam's first step is the learning rate times the gradient's sign.
        start = before.state_dict()
        for name, tensor in after.state_dict().items():
            largest = (tensor - start[name]).abs().max().item()
            assert largest == pytest.approx(1e-4 if name.startswith("encoder.") else 1e-3, rel=2e-2), name


class TestTraining:
    @pytest.mark.parametrize(("prior", "head"), [("ar", "chain"), ("maskgit", "joint")])
    def test_the_code_of_an_image_is_learned(
        self, tmp_path: Path, make_store: MakeStore, prior: Decoding, head: Head
    ) -> None:
        run = replace(
            RUN,
            prior=prior,
            model=replace(TINY, head=head),
            optim=OptimConfig(lr=5e-3, weight_decay=0.0, warmup=20, ema=0.9),
            loop=replace(LOOP, steps=160, batch_size=32, log_every=80, val_every=80, checkpoint_every=160),
        )
        trained = train_dense_prior(run, make_store(), quiet(tmp_path / "run"), sources=SOURCES)
        losses = [line["val/loss"] for line in read_log(tmp_path / "run") if "val/loss" in line]
        assert len(losses) == 2
        assert losses[-1] < 0.2 < math.log(K)
        pairs = join_split(make_store("again"), "val", DATA, SOURCES)
        assert pairs is not None
        (batch,) = eval_pairs(pairs, DATA, batch_size=20)
        found = trained.predict(batch.images).flatten(1)
        assert (found == batch.tokens).float().mean() > 0.95
        # The image leads, not the order of rows.
        assert torch.equal(trained.predict(batch.images.flip(0)).flatten(1), found.flip(0))

    @pytest.mark.parametrize("prior", ["ar", "maskgit"])
    def test_a_run_that_died_goes_on_to_the_same_bytes(
        self, tmp_path: Path, make_store: MakeStore, prior: Decoding, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = replace(RUN, prior=prior, model=replace(TINY, dropout=0.2), encoder_lr=0.3)
        store, whole = make_store(), train.drawn_at
        train_dense_prior(run, store, quiet(tmp_path / "straight"), sources=SOURCES)

        def die(step: int, *rest: Any, **settings: Any) -> tuple[Tensor, Tensor]:
            if step == 3:
                raise KeyboardInterrupt
            return whole(step, *rest, **settings)

        with monkeypatch.context() as patch:
            patch.setattr(train, "drawn_at", die)
            with pytest.raises(KeyboardInterrupt):
                train_dense_prior(run, store, quiet(tmp_path / "died"), sources=SOURCES)
        train_dense_prior(run, store, quiet(tmp_path / "died", resume=True), sources=SOURCES)
        a, b = ((tmp_path / name / "last" / "model.safetensors").read_bytes() for name in ("straight", "died"))
        assert a == b
        other = replace(run, loop=replace(LOOP, seed=1))
        train_dense_prior(other, store, quiet(tmp_path / "seed"), sources=SOURCES)
        assert (tmp_path / "seed" / "last" / "model.safetensors").read_bytes() != a

    def test_a_size_that_no_patch_fits_is_refused_before_a_folder_is_made(
        self, tmp_path: Path, make_store: MakeStore
    ) -> None:
        run = replace(RUN, data=replace(RUN.data, width=RUN.data.width + 1))
        with pytest.raises(GridcodeError, match="multiples of its patch"):
            train_dense_prior(run, make_store(), quiet(tmp_path / "run"), sources=SOURCES)
        assert not (tmp_path / "run").exists()

    def test_parts_of_a_batch_are_the_batch(self, tmp_path: Path, make_store: MakeStore) -> None:
        for name, count in (("whole", 1), ("parts", 2)):
            run = replace(RUN, loop=replace(LOOP, accumulate=count, recompute=count > 1, log_every=1))
            train_dense_prior(run, make_store(name), quiet(tmp_path / f"run-{name}"), sources=SOURCES)
        whole, parts = (
            [line["train/loss"] for line in read_log(tmp_path / f"run-{name}") if "train/loss" in line]
            for name in ("whole", "parts")
        )
        assert whole == pytest.approx(parts, rel=1e-5)

    def test_the_encoder_starts_from_a_file(self, tmp_path: Path, make_store: MakeStore) -> None:
        torch.manual_seed(3)
        start = FeatureEncoder(TINY.encoder, 3, (SIZE, SIZE)).state_dict()
        save_file(start, tmp_path / "vit.safetensors")
        run = replace(RUN, vit_weights=str(tmp_path / "vit.safetensors"), encoder_lr=0.0)
        trained = train_dense_prior(run, make_store(), quiet(tmp_path / "run"), sources=SOURCES)
        for name, tensor in start.items():
            assert torch.equal(trained.encoder.state_dict()[name], tensor)
        (tmp_path / "vit.safetensors").unlink()  # a resumed run has its weights in the checkpoint
        train_dense_prior(run, make_store("again"), quiet(tmp_path / "run", resume=True), sources=SOURCES)

    def test_without_a_validation_split_the_training_tokens_are_measured(
        self, tmp_path: Path, make_store: MakeStore
    ) -> None:
        train_dense_prior(RUN, make_store(val=0), quiet(tmp_path / "run"), sources=SOURCES)
        lines = read_log(tmp_path / "run")
        assert any("val/loss" in line for line in lines)
        assert any("no split 'val'" in str(line.get("warning")) for line in lines)

    def test_the_built_in_scenes_are_opened_by_the_settings(self, tmp_path: Path) -> None:
        data = replace(DATA, task="panoptic", train_count=10, val_count=4)
        with StoreWriter(
            tmp_path / "tokens",
            quantizer={"name": "vq", "size": K},
            codebook_size=K,
            grid=GRID,
            tokenizer="0123456789abcdef",
            data=asdict(data),
            classes=(),
        ) as writer:
            for split, start, count in (("train", 0, 10), ("val", 10, 4)):
                keys = [f"scene-0-{start + n:06d}" for n in range(count)]
                writer.write(split, torch.randint(0, K, (count, *GRID)), torch.full((count,), -1), keys)
        run = replace(RUN, data=data)
        trained = train_dense_prior(run, TokenStore.open(tmp_path / "tokens"), quiet(tmp_path / "run"))
        assert trained.space.data["task"] == "panoptic"
        assert trained.example_shape == (3, SIZE, SIZE)

    def test_other_data_or_tokens_than_before_are_refused(self, tmp_path: Path, make_store: MakeStore) -> None:
        with pytest.raises(GridcodeError, match=r"made with height=32, the images are read with 16; set data\.height"):
            train_dense_prior(RUN, make_store(height=32), quiet(tmp_path / "run"), sources=SOURCES)
        with pytest.raises(GridcodeError, match=r"made with task='colour', the images are read with 'depth'"):
            train_dense_prior(RUN, make_store("c", task="colour"), quiet(tmp_path / "run"), sources=SOURCES)
        train_dense_prior(RUN, make_store("first"), quiet(tmp_path / "run"), sources=SOURCES)
        other = make_store("other", tokenizer="fedcba9876543210")
        with pytest.raises(GridcodeError, match=r"trained with tokens\.tokenizer='0123456789abcdef', now 'fedcba98"):
            train_dense_prior(RUN, other, quiet(tmp_path / "run", resume=True), sources=SOURCES)
        masked = replace(RUN, prior="maskgit")
        with pytest.raises(GridcodeError, match="was trained with prior='ar', now 'maskgit'"):
            train_dense_prior(masked, make_store("m"), quiet(tmp_path / "run", resume=True), sources=SOURCES)


@pytest.mark.parametrize("prior", ["ar", "maskgit"])
def test_measuring_is_the_mean_over_all_examples(make_store: MakeStore, prior: Decoding) -> None:
    torch.manual_seed(0)
    pairs = join_split(make_store(), "val", DATA, SOURCES)
    assert pairs is not None
    model = make_prior(TINY, TokenSpace(K, GRID, (), "", {}, (4, 3)), (3, SIZE, SIZE), decoding=prior).eval()
    found = measure_prior(model, held_out_pairs(pairs, DATA, batch_size=8), min_masked=0.45)
    torch.rand(5)
    assert measure_prior(model, held_out_pairs(pairs, DATA, batch_size=8), min_masked=0.45) == found
    if prior == "ar":
        (batch,) = eval_pairs(pairs, DATA, batch_size=20)
        scores = model(batch.tokens, batch.images, torch.ones_like(batch.tokens, dtype=torch.bool))
        assert found["loss"] == pytest.approx(scores.losses.mean().item(), rel=1e-5)
        assert found["accuracy"] == pytest.approx(scores.right.float().mean().item())
    part = pairs.some(7)
    assert len(part) == len(part.tokens) == 7
    kept = [pairs.places.tolist().index(place) for place in part.places]
    assert torch.equal(part.tokens, pairs.tokens[kept])


def test_recipes_are_whole_runs() -> None:
    assert paper("panoptic").prior.model.encoder.grid(512, 512) == (32, 32)
    assert paper("colour").prior.channels == 1
    assert gpu("depth").prior.prior == "ar"
    assert laptop("panoptic").prior.data.shape == (64, 64)
