"""Stage I: train a tokenizer to reconstruct pictures (paper, section 4.1).

L2 (and L1) on pixels; where they are asked for, a distance of features and a discriminator's opinion; and the
quantizer's own loss where it has one (FSQ has none), logged as ``quantizer``. Everything random is keyed by the step,
so a resumed run has the weights of an uninterrupted one, bit for bit on a CPU.

Differs from paper: the networks of the loss are off by default; AdamW with warm-up, cosine and clipped gradients
instead of Adam at a constant rate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from gridcode.data.loader import Batch, eval_batches, train_batches
from gridcode.data.open import open_split, understood
from gridcode.data.source import ImageSource, described, few
from gridcode.metrics.image import psnr
from gridcode.nn.module import load_weights
from gridcode.quantize.partial import quantize_with_dropout
from gridcode.tokenizer.adversary import Adversary, make_discriminator
from gridcode.tokenizer.config import TokenizerRun
from gridcode.tokenizer.losses.pixel import PixelLoss
from gridcode.tokenizer.model import Tokenizer
from gridcode.tokenizer.networks import blocks_of
from gridcode.tokenizer.perception import perceptual_loss
from gridcode.tokenizer.progress import Progress, make_watch, summed, usage_facts
from gridcode.tokenizer.strip import save_strip
from gridcode.tokenizer.usage import TokenUsage, TokenUsageMeter
from gridcode.training.fabric import make_fabric, scaler_memory
from gridcode.training.optim import make_ema, make_optimizer
from gridcode.training.parallel import adapt, in_parts
from gridcode.training.run import Run, RunOptions, open_run, prepare_folder, same_examples
from gridcode.training.seeding import derive_seed
from gridcode.training.state import Trainee
from gridcode.training.step import begin_step, finish_step, tell_schedule

STRIP = 8
"""Validation pictures that are kept to be looked at, with their reconstructions."""


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
    say: Callable[[str], None] | None = None,
) -> Tokenizer:
    """Train a tokenizer and leave ``best/`` and ``last/`` in the run's folder.

    Args:
        config: Everything that determines the result.
        options: Where it goes, and whether to resume.
        init_from: A tokenizer of the same shape whose weights it starts from (fine-tuning).
        sources: The pictures, where they do not come from ``config.data`` (a PyTorch dataset, say).
        say: Told what was understood of the data, a line each.

    Returns:
        The best tokenizer by validation PSNR, with averaged weights.

    Raises:
        GridcodeError: The data, the folder or the settings are unusable, or the loss is not finite.
        Stopped: A signal ended the run; its checkpoint is written.
    """
    config.loss.perceptual.check_weights()
    begun = None if init_from is None else Tokenizer.from_pretrained(init_from)
    prepare_folder(options, config)
    fabric = make_fabric(config.loop)
    data = config.data
    if sources is None:
        sources = Sources(open_split(data, "train"), open_split(data, "val"))
    else:  # what config.data names was not read: record what was
        data = replace(data, source=sources.train.name, val_source=None)

    if say is not None:
        for line in understood(sources.train, sources.val):
            say(line)
    same_examples(options, described(sources.train))

    torch.manual_seed(derive_seed(config.loop.seed, "weights"))
    tokenizer = Tokenizer(config.model)
    if begun is not None and init_from is not None:
        load_weights(tokenizer, begun.state_dict(), origin=init_from)
    tokenizer.info = {"data": asdict(data), "dataset": data.dataset}
    tokenizer.to(fabric.device)
    ema = make_ema(tokenizer, config.optim)
    averaged = ema.module
    assert isinstance(averaged, Tokenizer)
    # Decay would pull a book's vectors to the origin, away from the latents that they stand for.
    optimizer = make_optimizer(tokenizer, config.optim, no_decay=tokenizer.quantizer)
    pixels = PixelLoss(l2=config.loss.l2, l1=config.loss.l1)
    perceptual, others = None, {}
    if config.loss.perceptual.active:
        perceptual = perceptual_loss(config, sources.train, options, fabric=fabric)
    if config.loss.adversarial.active:
        others["discriminator"] = make_discriminator(config, fabric.device)
    watch = make_watch(config.alarms, tokenizer.quantizer)
    trainee = Trainee(tokenizer, ema, optimizer, others=others, memories={"alarms": watch} | scaler_memory(fabric))

    with open_run(options, config.loop, trainee, fabric=fabric, title="tokenizer") as run:
        tell_schedule(run, config.optim)
        adapt(tokenizer, config.loop, blocks=[*blocks_of(tokenizer.encoder), *blocks_of(tokenizer.decoder)])
        model, optimizer = fabric.setup(_Forward(tokenizer, config.quantizer_dropout), optimizer)
        adversary = Adversary(others["discriminator"], config, fabric=fabric) if others else None
        progress = Progress(run, watch, tokenizer.quantizer, config.alarms)
        batches = train_batches(
            sources.train,
            config.data,
            batch_size=config.loop.batch_size,
            seed=config.loop.seed,
            start_step=run.start,
            rank=fabric.global_rank,
            world=fabric.world_size,
        )
        for step in run.steps():
            images = _next_images(batches, run, step).to(fabric.device)
            begin_step(optimizer, step, loop=config.loop, optim=config.optim, rank=fabric.global_rank)
            judge = adversary if step >= config.loss.adversarial.start else None

            parts: list[dict[str, Tensor]] = []
            made: list[Tensor] = []
            for (part,), share in in_parts(fabric, model, (images,), count=config.loop.accumulate):
                reconstructions, indices, quantizer_loss = model(part)
                terms = pixels(reconstructions, part)
                with fabric.autocast():
                    if perceptual is not None:
                        terms |= perceptual(reconstructions, part)
                    if judge is not None:
                        terms |= judge.judge(reconstructions)
                loss = torch.stack([*terms.values(), quantizer_loss]).sum()
                fabric.backward(share * loss)
                progress.count(indices)
                made.append(reconstructions.detach())
                shown = terms | {"quantizer": quantizer_loss} if len(terms) > 1 else {"quantizer": quantizer_loss}
                parts.append({name: share * term.detach() for name, term in {"loss": loss, **shown}.items()})
            figures = finish_step(model, tokenizer, ema, optimizer, clip=config.optim.clip, fabric=fabric)

            metrics = summed(parts) | {"psnr": psnr(torch.cat(made), images).mean()} | figures
            if judge is not None:
                metrics |= judge.learn(images, torch.cat(made), step)
            validate = partial(_validate, run, step, averaged, sources.val, config)
            progress.end_step(step, metrics, validate=validate, save=averaged.save_pretrained)
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


def _validate(run: Run, step: int, tokenizer: Tokenizer, source: ImageSource, config: TokenizerRun) -> dict[str, float]:
    """Measure the averaged weights and keep the best; what the alarms look at."""
    data = replace(config.data, workers=0)
    batches = eval_batches(few(source, config.loop.val_count), data, batch_size=config.loop.batch_size)
    scores, tokens = measure(tokenizer, batches)
    run.validated(step, scores, score=scores["psnr"], save=tokenizer.save_pretrained)
    images = next(eval_batches(few(source, STRIP), data, batch_size=STRIP)).images
    decoded = tokenizer.decode(tokenizer.encode(images.to(run.fabric.device)))
    save_strip(run.out / "pictures" / f"step-{step + 1:08d}.png", images, decoded)
    return {"validation_psnr": scores["psnr"]} | usage_facts(tokens)
