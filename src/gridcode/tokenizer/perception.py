"""The network behind a run's perceptual loss: LPIPS from files, or an observer trained as the run starts.

The observer lies in the run's folder (``perceptual/``) and is read from there when the run is resumed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gridcode.data.loader import train_batches
from gridcode.data.source import ImageSource
from gridcode.features.lpips import load_lpips
from gridcode.features.observer import load_observer, save_observer
from gridcode.features.observer_config import ObserverConfig
from gridcode.features.train_observer import train_observer
from gridcode.tokenizer.config import TokenizerRun
from gridcode.tokenizer.losses.perceptual import PerceptualLoss
from gridcode.training.progress import ProgressBar
from gridcode.training.run import RunOptions
from gridcode.training.seeding import derive_seed

if TYPE_CHECKING:
    from lightning_fabric import Fabric

FOLDER = "perceptual"
"""Where the observer lies in a run's folder."""


def perceptual_loss(run: TokenizerRun, source: ImageSource, options: RunOptions, *, fabric: Fabric) -> PerceptualLoss:
    """The perceptual loss of a run; of several processes the first trains the observer, the others read it.

    Args:
        run: The run's settings; ``run.loss.perceptual`` is active.
        source: The pictures that an observer learns from.
        options: The run's folder, and whether the run is resumed.
        fabric: The processes.

    Raises:
        GridcodeError: LPIPS's files, or the observer of a resumed run, cannot be read.
    """
    config = run.loss.perceptual
    if config.kind == "lpips":
        lpips = load_lpips(config.vgg, config.heads, download=config.download)
        return PerceptualLoss(lpips.to(fabric.device), weight=config.weight)
    folder = options.out / FOLDER
    if fabric.is_global_zero and not (options.resume and folder.exists()):
        _train(run, source, folder, show=options.show, fabric=fabric)
    fabric.barrier()
    observer = load_observer(folder).to(fabric.device)
    return PerceptualLoss(observer.distance, weight=config.weight)


def _train(run: TokenizerRun, source: ImageSource, folder: Path, *, show: bool, fabric: Fabric) -> None:
    """Train an observer of the run's pictures, from seeds that nothing else uses."""
    config, labelled = run.loss.perceptual, len(source.classes) >= 2
    seed = derive_seed(run.loop.seed, "observer")
    settings = ObserverConfig(
        targets=len(source.classes) if labelled else 4,
        rotations=not labelled,
        channels=run.data.channels,
        widths=config.widths,
        steps=config.steps,
        seed=seed,
    )
    batches = train_batches(source, run.data, batch_size=config.batch_size, seed=seed)
    with ProgressBar("perceptual network", total=config.steps, show=show) as bar:
        bar.say("training the network behind the perceptual loss")
        observer = train_observer(
            settings,
            batches,
            progress=lambda done, loss: bar.advance(done, {"loss": f"{loss:.4g}"}),
            device=fabric.device,
        )
    save_observer(observer, folder)
