"""The loss of a tokenizer of sounds.

    L = l1 · mean |x - y|
      + stft · mean over windows ( mean |ln(|X| + f) - ln(|Y| + f)| + ||X| - |Y||_F / ||X||_F )
      + mel · mean over mel windows ( mean |ln(mel X + f) - ln(mel Y + f)| )
      + a discriminator's, where there is one (:mod:`gridcode.tokenizer.adversarial`)  + the quantizer's own

The STFT term is that of Parallel WaveGAN (Yamamoto et al. 2020, eq. 4 to 6), the mel term that of DAC (Kumar et al.
2023, section 3.4). X is the sound's spectrum, Y its reconstruction's, f the floor below which all is silence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
from torch import Tensor
from torch.nn import functional as F

from gridcode.domains.audio.config import AudioTokenizerRun
from gridcode.domains.audio.data.loader import AudioBatch
from gridcode.domains.audio.networks.discriminator import Discriminator
from gridcode.domains.audio.spectrum import log_mel, magnitudes
from gridcode.tokenizer.adversarial import Adversary, make_learner
from gridcode.tokenizer.domain import Objective

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def stft_distance(first: Tensor, second: Tensor, windows: tuple[int, ...], floor: float) -> Tensor:
    """Log magnitude and spectral convergence of two batches of waveforms (B, 1, T), the mean over windows: a scalar.

    Args:
        first: The sounds, X.
        second: Their reconstructions, Y; the gradient goes here.
        windows: Window lengths.
        floor: Magnitude that is added before the logarithm.

    >>> sound = torch.linspace(-1, 1, 512)[None, None]
    >>> stft_distance(sound, sound, (64, 128), 1e-3).item()
    0.0
    """
    found = []
    for window in windows:
        X, Y = magnitudes(first, window), magnitudes(second, window)
        convergence = (X - Y).flatten(1).norm(dim=1) / (X.flatten(1).norm(dim=1) + floor)
        found.append(F.l1_loss((Y + floor).log(), (X + floor).log()) + convergence.mean())
    return torch.stack(found).mean()


def mel_distance(
    first: Tensor, second: Tensor, rate: int, windows: tuple[int, ...], bands: tuple[int, ...], floor: float
) -> Tensor:
    """Mean absolute difference of the log-mel spectra of waveforms (B, 1, T), in nats, the mean over windows: (B,)."""
    found = []
    for window, count in zip(windows, bands, strict=True):
        spectra = [log_mel(sound, rate, window=window, bands=count, floor=floor) for sound in (first, second)]
        found.append((spectra[0] - spectra[1]).abs().flatten(1).mean(1))
    return torch.stack(found).mean(0)


@final
class AudioObjective(Objective):
    """The terms ``l1``, ``stft`` and ``mel``, those that have a weight, and a discriminator's.

    Args:
        run: The settings.
        fabric: The processes.
    """

    def __init__(self, run: AudioTokenizerRun, *, fabric: Fabric) -> None:
        self._run, self._fabric, self._reconstructed = run, fabric, list[Tensor]()
        self._adversary: Adversary | None = None
        if (config := run.loss.adversarial).active:
            learner = make_learner(lambda: make_discriminator(run), config, run.loop, fabric.device)
            self.learners = {"discriminator": learner}

    def setup(self, fabric: Fabric) -> None:
        """See :class:`Objective`."""
        if self.learners:
            config, accumulate = self._run.loss.adversarial, self._run.loop.accumulate
            self._adversary = Adversary(
                self.learners["discriminator"], config, features=config.features, accumulate=accumulate, fabric=fabric
            )

    def inputs(self, batch: AudioBatch, step: int) -> tuple[Tensor, ...]:
        """The waveforms."""
        return (batch.waveforms,)

    def terms(self, outputs: Tensor, inputs: tuple[Tensor, ...], step: int) -> dict[str, Tensor]:
        """See :class:`Objective`."""
        config, outputs, sounds = self._run.loss, outputs.float(), inputs[0]
        terms: dict[str, Tensor] = {}
        if config.l1:
            terms["l1"] = config.l1 * F.l1_loss(outputs, sounds)
        if config.stft:
            terms["stft"] = config.stft * stft_distance(sounds, outputs, config.windows, config.floor)
        if config.mel:
            rate, windows, bands = self._run.data.rate, config.mel_windows, config.mels
            terms["mel"] = config.mel * mel_distance(sounds, outputs, rate, windows, bands, config.floor).mean()
        if self._adversary is not None:
            with self._fabric.autocast():
                terms |= self._adversary.terms(outputs, sounds, step)
            self._reconstructed.append(outputs.detach())
        return terms

    def finish_step(self, inputs: tuple[Tensor, ...], step: int) -> dict[str, Tensor | float]:
        """The discriminator's step."""
        if self._adversary is None:
            return {}
        reconstructions = torch.cat(self._reconstructed)
        self._reconstructed.clear()
        return self._adversary.learn(inputs[0], reconstructions, step)


def make_discriminator(run: AudioTokenizerRun) -> Discriminator:
    """A new discriminator for a run's sounds."""
    return Discriminator(run.loss.adversarial.windows, width=run.loss.adversarial.width)
