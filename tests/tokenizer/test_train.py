"""Stage I at the smallest size: it learns, warns, stops, and takes any images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gridcode.data.adapter import TorchDataset
from gridcode.data.config import CropPolicy, DataConfig
from gridcode.data.loader import eval_batches
from gridcode.data.open import open_split
from gridcode.domains.image import loss as module
from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.domains.image.config import TokenizerRun
from gridcode.domains.image.loss import PixelLoss
from gridcode.errors import GridcodeError
from gridcode.quantize.config import FSQConfig
from gridcode.tokenizer.domain import Sources
from gridcode.tokenizer.model import Tokenizer
from gridcode.tokenizer.train import train_tokenizer
from gridcode.training.config import LoopConfig, OptimConfig
from gridcode.training.log import read_log
from gridcode.training.run import RunOptions
from gridcode.training.state import checkpoints

CENTER = CropPolicy(train="center", flip=False)
LOOP = LoopConfig(
    steps=4,
    batch_size=8,
    log_every=2,
    val_every=4,
    checkpoint_every=2,
    accelerator="cpu",
    precision="fp32",
)
RUN = TokenizerRun(
    data=DataConfig(size=16, train_count=64, val_count=16, workers=0, crop=CENTER),
    model=TokenizerConfig(
        quantizer=FSQConfig(levels=(5, 4, 3)), widths=(8, 16), encoder_blocks=1, decoder_blocks=1, patch=2
    ),
    optim=OptimConfig(lr=5e-3, warmup=5, ema=0.9),
    loop=LOOP,
)


@pytest.fixture(scope="module")
def scenes() -> Sources:
    return Sources(open_split(RUN.data, "train"), open_split(RUN.data, "val"))


def quiet(out: Path, **settings: bool) -> RunOptions:
    return RunOptions(out, show=False, **settings)


def quality(tokenizer: Tokenizer, sources: Sources) -> float:
    batches = eval_batches(sources.val, RUN.data, batch_size=16)
    return tokenizer.domain.measure(tokenizer.eval(), batches).score


class Flat:
    """One grey image again and again, as a PyTorch data set."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> np.ndarray:
        return np.full((16, 16), 90, np.uint8)


def test_training_improves_reconstruction(tmp_path: Path, scenes: Sources) -> None:
    run = replace(RUN, loop=replace(LOOP, steps=60, val_every=30, batch_size=16))
    tokenizer = train_tokenizer(run, quiet(tmp_path), sources=scenes)
    torch.manual_seed(0)
    assert quality(tokenizer, scenes) > quality(Tokenizer(RUN.model), scenes) + 4
    scores = [line["val/psnr"] for line in read_log(tmp_path) if "val/psnr" in line]
    assert len(scores) == 2
    assert quality(tokenizer, scenes) == pytest.approx(max(scores), abs=1e-3)
    assert tokenizer.info["dataset"] == "scenes"
    assert tokenizer.info["data"]["size"] == 16


def test_the_same_run_gives_the_same_bytes(tmp_path: Path, scenes: Sources) -> None:
    for name in ("a", "b"):
        train_tokenizer(RUN, quiet(tmp_path / name), sources=scenes)
    train_tokenizer(replace(RUN, loop=replace(LOOP, seed=1)), quiet(tmp_path / "c"), sources=scenes)
    a, b, c = ((tmp_path / name / "last" / "model.safetensors").read_bytes() for name in "abc")
    assert a == b != c


def test_a_book_that_collapses_is_warned_of(tmp_path: Path) -> None:
    source = TorchDataset(Flat(), name="flat")
    run = replace(RUN, data=replace(RUN.data, channels=1), model=replace(RUN.model, channels=1))
    train_tokenizer(run, quiet(tmp_path), sources=Sources(source, source))
    warnings = [line["warning"] for line in read_log(tmp_path) if "warning" in line]
    assert len(warnings) == 1
    assert "of the 60 codes are in use" in warnings[0]
    assert "try a smaller codebook" in warnings[0]


def test_a_loss_that_is_not_finite_keeps_the_last_checkpoint(
    tmp_path: Path, scenes: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    class Breaking(PixelLoss):
        def __call__(self, *tensors: torch.Tensor) -> dict[str, torch.Tensor]:
            calls.append(1)
            terms = super().__call__(*tensors)
            return {"l2": terms["l2"] * float("nan")} if len(calls) == 4 else terms

    monkeypatch.setattr(module, "PixelLoss", Breaking)
    with pytest.raises(GridcodeError, match=r"not finite at step 3; the checkpoint .*step-00000002 is kept"):
        train_tokenizer(RUN, quiet(tmp_path), sources=scenes)
    assert [folder.name for folder in checkpoints(tmp_path)] == ["step-00000002"]
    monkeypatch.undo()
    train_tokenizer(RUN, quiet(tmp_path, resume=True), sources=scenes)
    train_tokenizer(RUN, quiet(tmp_path / "straight"), sources=scenes)
    one, two = (folder / "last" / "model.safetensors" for folder in (tmp_path, tmp_path / "straight"))
    assert one.read_bytes() == two.read_bytes()


def test_a_learning_rate_far_too_high_is_one_line(tmp_path: Path, scenes: Sources) -> None:
    run = replace(RUN, optim=OptimConfig(lr=1e30, warmup=0))
    with pytest.raises(GridcodeError) as caught:
        train_tokenizer(run, quiet(tmp_path), sources=scenes)
    assert "\n" not in str(caught.value)


def test_init_from_starts_with_the_given_weights(tmp_path: Path, scenes: Sources) -> None:
    torch.manual_seed(3)
    start = Tokenizer(RUN.model)
    start.save_pretrained(tmp_path / "start")
    still = replace(RUN, optim=OptimConfig(lr=1e-12, weight_decay=0.0))
    tuned = train_tokenizer(still, quiet(tmp_path / "run"), sources=scenes, init_from=tmp_path / "start")
    for name, tensor in start.state_dict().items():
        torch.testing.assert_close(tuned.state_dict()[name], tensor, rtol=0, atol=1e-9)


def test_init_from_another_shape_is_one_line(tmp_path: Path, scenes: Sources) -> None:
    Tokenizer(replace(RUN.model, widths=(8, 24))).save_pretrained(tmp_path / "start")
    with pytest.raises(GridcodeError, match=r"start does not fit this model: .* of another shape") as caught:
        train_tokenizer(RUN, quiet(tmp_path / "run"), sources=scenes, init_from=tmp_path / "start")
    assert "\n" not in str(caught.value)


def test_images_without_labels_and_one_that_is_broken(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(12):
        pixels = generator.integers(0, 256, (18, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02d}.png")
    data = replace(RUN.data, source=str(folder), val_fraction=0.25, crop=CropPolicy(), on_error="skip")
    broken = next(iter(open_split(data, "train"))).key
    (folder / broken).write_bytes(b"not an image")
    tokenizer = train_tokenizer(replace(RUN, data=data), quiet(tmp_path / "run"))
    assert tokenizer.info["dataset"] == folder.name
    warnings = [line["warning"] for line in read_log(tmp_path / "run") if "warning" in line]
    assert any(text.startswith("skipped ") and broken in text for text in warnings)


def test_any_pytorch_dataset_can_be_learned(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    pairs = torch.utils.data.TensorDataset(torch.rand(20, 3, 16, 16, generator=generator), torch.arange(20) % 2)
    source = TorchDataset(pairs, name="noise", classes=("a", "b"))
    tokenizer = train_tokenizer(RUN, quiet(tmp_path), sources=Sources(source, source))
    assert tokenizer.info["dataset"] == "noise"


def test_bfloat16_trains_too_and_keeps_float32_weights(tmp_path: Path, scenes: Sources) -> None:
    run = replace(RUN, loop=replace(LOOP, precision="bf16", steps=2, val_every=2))
    tokenizer = train_tokenizer(run, quiet(tmp_path), sources=scenes)
    assert {p.dtype for p in tokenizer.parameters()} == {torch.float32}
    assert tokenizer.decode(tokenizer.encode(torch.zeros(1, 3, 16, 16))).dtype == torch.float32


def test_the_loss_is_its_formula() -> None:
    x, y = torch.rand(2, 3, 4, 4) * 2 - 1, torch.rand(2, 3, 4, 4) * 2 - 1
    terms = PixelLoss(l2=2.0, l1=0.5)(y, x)
    assert terms["l2"].item() == pytest.approx(2.0 * float(((x - y).double() ** 2).mean()), rel=1e-5)
    assert terms["l1"].item() == pytest.approx(0.5 * float((x - y).double().abs().mean()), rel=1e-5)
    assert set(PixelLoss(l2=0.0, l1=1.0)(y, x)) == {"l1"}


def test_measure_is_the_mean_over_images_not_over_batches(scenes: Sources) -> None:
    torch.manual_seed(0)
    tokenizer = Tokenizer(RUN.model).eval()
    whole, parts = (
        tokenizer.domain.measure(tokenizer, eval_batches(scenes.val, RUN.data, batch_size=size)) for size in (16, 5)
    )
    assert parts.scores == pytest.approx(whole.scores, rel=1e-5)
    assert whole.usage.pooled.count == 16 * 4 * 4


def test_a_run_goes_on_where_its_images_have_moved_but_not_on_others(tmp_path: Path) -> None:
    here, there = tmp_path / "photos", tmp_path / "elsewhere" / "pictures"
    here.mkdir()
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(here / f"{number}.png")
    data = replace(RUN.data, source=str(here), val_fraction=0.2)
    run = replace(RUN, data=data, loop=replace(LOOP, steps=2))
    train_tokenizer(run, quiet(tmp_path / "run"))

    there.parent.mkdir()
    here.rename(there)
    (tmp_path / "run").rename(tmp_path / "kept")
    moved = replace(
        run,
        data=replace(data, source=str(there), on_error="skip"),
        loop=replace(LOOP, steps=4, checkpoint_every=1, val_count=1),
        alarms=replace(run.alarms, off=True),
    )
    tokenizer = train_tokenizer(moved, quiet(tmp_path / "kept", resume=True))
    assert tokenizer.info["data"]["source"] == str(there)
    assert [folder.name for folder in checkpoints(tmp_path / "kept")] == ["step-00000004"]

    (there / "0.png").rename(there / "new.png")
    with pytest.raises(GridcodeError, match="was trained on other examples"):
        train_tokenizer(moved, quiet(tmp_path / "kept", resume=True))
    (there / "new.png").unlink()
    with pytest.raises(GridcodeError, match=r"other examples \(count=\d+, now \d+\)"):
        train_tokenizer(moved, quiet(tmp_path / "kept", resume=True))
