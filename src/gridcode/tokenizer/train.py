"""Stage I: train a tokenizer to reconstruct pictures (paper, section 4.1, without the adversarial part).

L2 (and L1) on pixels, and the quantizer's own loss where it has one (FSQ has none), logged as ``quantizer``. Everything
random is keyed by the step, so a resumed run has the weights of an uninterrupted one, bit for bit on a CPU.

Differs from paper: no discriminator and no perceptual loss; AdamW with warm-up, cosine and clipped gradients instead
of Adam at a constant rate.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from gridcode.data.loader import Batch, eval_batches, train_batches
from gridcode.data.open import open_split
from gridcode.data.source import ImageSource
from gridcode.data.views import few
from gridcode.metrics.image import psnr
from gridcode.nn.conv import to_fast_layout
from gridcode.nn.weights import load_weights
from gridcode.quantize.dropout import quantize_with_dropout
from gridcode.tokenizer.config import TokenizerRun
from gridcode.tokenizer.losses import ReconstructionLoss
from gridcode.tokenizer.model import Tokenizer
from gridcode.tokenizer.usage import TokenUsage, TokenUsageMeter
from gridcode.training.fabric import make_fabric
from gridcode.training.optim import learning_rate, make_ema, make_optimizer
from gridcode.training.precision import resolve_precision
from gridcode.training.run import Run, RunOptions, open_run, prepare_folder
from gridcode.training.seeding import derive_seed, seed_step
from gridcode.training.state import Trainee

LOW_USAGE = 0.5
"""Share of the codes a sample could show, under which usage counts as collapsed."""


@dataclass(frozen=True)
class Sources:
    """The pictures of a run.

    Attributes:
        train: What it learns from.
        val: What it is measured on.
    """

    train: ImageSource
    val: ImageSource


def train_tokenizer(
    config: TokenizerRun,
    options: RunOptions,
    *,
    init_from: str | Path | None = None,
    sources: Sources | None = None,
) -> Tokenizer:
    """Train a tokenizer and leave ``best/`` and ``last/`` in the run's folder.

    Args:
        config: Everything that determines the result.
        options: Where it goes, and whether to resume.
        init_from: A tokenizer of the same shape whose weights it starts from (fine-tuning).
        sources: The pictures, where they do not come from ``config.data`` (a PyTorch dataset, say).

    Returns:
        The best tokenizer by validation PSNR, with averaged weights.

    Raises:
        GridcodeError: The data, the folder or the settings are unusable, or the loss is not finite.
        Stopped: A signal ended the run; its checkpoint is written.
    """
    prepare_folder(options, config)
    fabric = make_fabric(config.loop)
    data = config.data
    if sources is None:
        sources = Sources(open_split(data, "train"), open_split(data, "val"))
    else:  # what config.data names was not read: record what was
        data = replace(data, source=sources.train.name, val_source=None)

    torch.manual_seed(derive_seed(config.loop.seed, "weights"))
    tokenizer = Tokenizer(config.model)
    if init_from is not None:
        load_weights(tokenizer, Tokenizer.from_pretrained(init_from).state_dict(), origin=init_from)
    tokenizer.info = {"data": asdict(data), "dataset": data.dataset}
    to_fast_layout(tokenizer, fabric.device, reduced=resolve_precision(config.loop) == "bf16")
    ema = make_ema(tokenizer, config.optim)
    averaged = ema.module
    assert isinstance(averaged, Tokenizer)
    # Decay would pull a book's vectors to the origin, away from the latents that they stand for.
    optimizer = make_optimizer(tokenizer, config.optim, no_decay=tokenizer.quantizer)
    loss_terms = ReconstructionLoss(config.loss)
    trainee = Trainee(tokenizer, ema, optimizer)

    with open_run(options, config.loop, trainee, fabric=fabric, title="tokenizer") as run:
        model, optimizer = fabric.setup(_Forward(tokenizer, config.quantizer_dropout), optimizer)
        batches = train_batches(
            sources.train,
            config.data,
            batch_size=config.loop.batch_size,
            seed=config.loop.seed,
            start_step=run.start,
            rank=fabric.global_rank,
            world=fabric.world_size,
        )
        meter = TokenUsageMeter(tokenizer.quantizer)
        for step in run.steps():
            images = _next_images(batches, run, step).to(fabric.device)
            seed_step(config.loop.seed, step, rank=fabric.global_rank)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, steps=config.loop.steps, config=config.optim)

            reconstructions, indices, quantizer_loss = model(images)
            terms = loss_terms(reconstructions, images)
            loss = torch.stack([*terms.values(), quantizer_loss]).sum()
            fabric.backward(loss)
            norm = nn.utils.clip_grad_norm_(tokenizer.parameters(), config.optim.clip or float("inf"))
            optimizer.step()
            optimizer.zero_grad()
            ema.update_parameters(tokenizer)

            meter.update(indices)
            quality = psnr(reconstructions.detach(), images).mean()
            metrics = {"loss": loss.detach(), "psnr": quality, "gradient_norm": norm}
            if quantizer_loss.detach() != 0:
                metrics["quantizer"] = quantizer_loss.detach()
            run.log(step, metrics)
            if run.logs_at(step):
                usage = meter.compute()
                run.write_line(step, {"usage": usage.pooled.usage} | usage.by_book())
                meter = TokenUsageMeter(tokenizer.quantizer)
            if run.validates_at(step):
                _validate(run, step, averaged, sources.val, config)
                fabric.barrier()
            run.end_step(step, save=averaged.save_pretrained)
    fabric.barrier()
    return Tokenizer.from_pretrained(options.out)


class _Forward(nn.Module):
    """A training step's forward pass as a plain tuple: Fabric's precision plugin refuses frozen dataclasses."""

    def __init__(self, tokenizer: Tokenizer, dropout: float) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.dropout = dropout

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if not self.dropout:
            out = self.tokenizer(images)
            return out.images, out.quantized.indices, out.quantized.loss
        latents = self.tokenizer.latents(images)
        quantized = quantize_with_dropout(self.tokenizer.quantizer, latents, self.dropout)
        return self.tokenizer.decoder(quantized.codes), quantized.indices, quantized.loss


def _next_images(batches: Iterable[Batch], run: Run, step: int) -> Tensor:
    """The next batch's pictures; what was skipped is logged."""
    batch = next(iter(batches))
    for message in batch.skipped:
        run.warn(step + 1, f"skipped {message}")
    return batch.images


@torch.inference_mode()
def measure(tokenizer: Tokenizer, batches: Iterable[Batch]) -> tuple[dict[str, float], TokenUsage]:
    """Reconstruction quality and codebook usage over batches.

    Args:
        tokenizer: In evaluation mode.
        batches: Pictures in [-1, 1].

    Returns:
        ``psnr`` (dB, mean over images, range [0, 1]), ``mse`` (on [-1, 1]), ``usage``, ``perplexity``, and the usage
        of each book where there are several; and the usage in full.
    """
    device = next(tokenizer.parameters()).device
    meter, quality, errors = TokenUsageMeter(tokenizer.quantizer), [], []
    for batch in batches:
        images = batch.images.to(device)
        out = tokenizer(images)
        meter.update(out.quantized.indices)
        reconstructions = out.images.float().clamp(-1, 1)
        quality.append(psnr(reconstructions, images))
        errors.append((reconstructions - images).square().flatten(1).mean(1))
    usage = meter.compute()
    scores = {
        "psnr": float(torch.cat(quality).mean()),
        "mse": float(torch.cat(errors).mean()),
        "usage": usage.pooled.usage,
        "perplexity": usage.pooled.perplexity,
    }
    return scores | usage.by_book(), usage


def _validate(run: Run, step: int, tokenizer: Tokenizer, source: ImageSource, config: TokenizerRun) -> None:
    """Measure the averaged weights, warn of a dying codebook, keep the best."""
    if not run.writer:
        return
    data = replace(config.data, workers=0)
    batches = eval_batches(few(source, config.loop.val_count), data, batch_size=config.loop.batch_size)
    scores, tokens = measure(tokenizer, batches)
    usage = tokens.least
    if usage.usage_of_ceiling < LOW_USAGE:
        run.warn(
            step + 1,
            f"only {usage.used} of the {usage.codebook_size} codes {_of_book(tokens)}are in use ("
            f"{usage.usage_of_ceiling:.0%} of what {usage.count} tokens could show); "
            "try a smaller book, a lower --optim.lr, more steps, or another --quantizer",
        )
    run.validated(step, scores, score=scores["psnr"], save=tokenizer.save_pretrained)


def _of_book(usage: TokenUsage) -> str:
    """Which of several books is the least used."""
    return "" if len(usage.books) == 1 else f"of book {usage.books.index(usage.least) + 1} "
