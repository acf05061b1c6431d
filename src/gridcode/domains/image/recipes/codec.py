"""Codecs: tokenizers for photographs of any size, learned on crops of Imagenette at 128 px, with priors for coding.

Commands::

    for recipe in codec16_laptop codec8_laptop; do
      gridcode train tokenizer $recipe --data.source DATA/imagenette128 --out runs/codec/$recipe/tokenizer
      gridcode tokenize --tokenizer runs/codec/$recipe/tokenizer --data.size 128 --flips --out runs/$recipe-tokens
      gridcode train prior $recipe --tokens runs/$recipe-tokens --out runs/codec/$recipe/prior
    done
    gridcode compress photo.jpg --model runs/codec --bpp 0.1

Another rate in the same folder is another codebook: ``--model.quantizer.levels 8 5 5 5`` with 16 pixels per token.

What suits photographs: normalisation by place, so that tiles leave no seams; crops of 64 px that are cut from 30 to
100 % of an image, so that the scale goes from one that is blurred to twice as fine; L2 for what is measured in dB, and
a distance by EfficientNet-lite0 (extra pretrained) for looks, at random shifts, without which every reconstruction has
a fine pattern of its strides; a last layer that smooths the decoder's squares of 4 pixels. Priors are trained for
coding: all shares of hidden tokens, plain cross-entropy, mostly without the class.
"""

from __future__ import annotations

from dataclasses import replace

from gridcode.data.config import CropPolicy, DataConfig
from gridcode.domains.image.architectures import TokenizerConfig
from gridcode.domains.image.config import EvaluationConfig, LossConfig, PerceptualConfig, TokenizerRun
from gridcode.domains.image.recipes.base import CODEBOOK_1000, Recipe, loop, maskgit_optim
from gridcode.prior.config import Head, MaskGITConfig, MaskingConfig, PriorRun
from gridcode.quantize.config import FSQConfig
from gridcode.training.config import OptimConfig


def laptop16() -> Recipe:
    """16 pixels per token of 64,000 codes: 0.0624 bits per pixel before coding.

    Expect: 18.2 dB on validation crops, 21.5 dB on 50 photographs of 481x321 (bsds500_val), 12.9 bits per token by the
    prior. They were measured of weights that came in three runs: 8,000 steps without ``smooth`` and ``shift``, 8,000
    with ``smooth``, 3,500 with both, of which the best came at step 1,000; the prior went on for 1,500 steps. The
    16,000 steps of this recipe were not run in one go. Cost: 50 minutes for 8,000 steps of the tokenizer, 25 for the
    prior, on one of two busy cores with bf16.
    """
    return _laptop((64, 128, 192), FSQConfig(levels=(8, 8, 8, 5, 5, 5)), head="chain", batch_size=32)


def laptop8() -> Recipe:
    """8 pixels per token of 1000 codes: 0.156 bits per pixel before coding.

    Expect: 20.0 dB on validation crops, 23.1 dB on 50 photographs of 481x321 (bsds500_val), measured without ``smooth``
    and ``shift``; by the prior 8.3 bits per token after half of its steps (the whole was not run). Cost: 49 minutes for
    8,000 steps of the tokenizer and 27 for half of the prior, on one of two busy cores with bf16.
    """
    return _laptop((64, 128), CODEBOOK_1000, head="joint", batch_size=16)


def gpu16() -> Recipe:
    """The laptop's rate with wider networks, larger crops and many more steps, for one GPU.

    Expected result and cost: not measured yet.
    """
    return _gpu(laptop16(), (128, 128, 256, 256))


def gpu8() -> Recipe:
    """The laptop's rate with wider networks, larger crops and many more steps, for one GPU.

    Expected result and cost: not measured yet.
    """
    return _gpu(laptop8(), (128, 128, 256))


def _laptop(widths: tuple[int, ...], quantizer: FSQConfig, *, head: Head, batch_size: int) -> Recipe:
    model = TokenizerConfig(
        quantizer=quantizer, widths=widths, encoder_blocks=1, decoder_blocks=1, patch=4, norm="channel", smooth=24
    )
    return Recipe(
        tokenizer=TokenizerRun(
            data=DataConfig(source="imagenette128", size=64, crop=CropPolicy(train="random", min_scale=0.3)),
            model=model,
            loss=LossConfig(perceptual=PerceptualConfig(kind="lite0", weight=0.5, shift=7)),
            optim=OptimConfig(lr=1e-3, warmup=200),
            loop=loop(16_000, 16, every=1000, val_count=300),
        ),
        prior=PriorRun(
            model=MaskGITConfig(head=head, width=192, depth=6, heads=4, mlp=768, dropout=0.0),
            masking=MaskingConfig(min_masked=0.0, label_dropout=0.9, label_smoothing=0.0),
            optim=maskgit_optim(1e-3, warmup=200),
            loop=loop(3000, batch_size, every=500, val_count=500),
        ),
        evaluation=EvaluationConfig(samples=100),
        flips=True,
    )


def _gpu(small: Recipe, widths: tuple[int, ...]) -> Recipe:
    """The same rate and losses on crops of 128 px, with squares of 2 pixels; a prior of width 512."""
    run, prior = small.tokenizer, small.prior
    assert isinstance(run.model, TokenizerConfig)
    model = replace(run.model, widths=widths, patch=2, encoder_blocks=2, decoder_blocks=2)
    length = loop(100_000, 64, every=5000, val_count=3925)
    return replace(
        small,
        tokenizer=replace(
            run,
            data=replace(run.data, size=128),
            model=model,
            optim=OptimConfig(lr=3e-4, warmup=1000),
            loop=length,
        ),
        prior=replace(
            prior,
            model=replace(prior.model, width=512, depth=12, heads=8, mlp=2048),
            optim=maskgit_optim(3e-4, warmup=2000),
            loop=length,
        ),
    )
