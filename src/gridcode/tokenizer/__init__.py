"""Stage I: encoder, quantizer, decoder, and their training."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from gridcode.tokenizer.config import ArchitectureConfig as ArchitectureConfig
    from gridcode.tokenizer.config import TokenizerConfig as TokenizerConfig
    from gridcode.tokenizer.config import TokenizerRun as TokenizerRun
    from gridcode.tokenizer.loss_config import AdversarialConfig as AdversarialConfig
    from gridcode.tokenizer.loss_config import LossConfig as LossConfig
    from gridcode.tokenizer.loss_config import PerceptualConfig as PerceptualConfig
    from gridcode.tokenizer.model import Reconstruction as Reconstruction
    from gridcode.tokenizer.model import Tokenizer as Tokenizer
    from gridcode.tokenizer.train import Sources as Sources
    from gridcode.tokenizer.train import train_tokenizer as train_tokenizer
    from gridcode.tokenizer.vit_config import ViTConfig as ViTConfig
    from gridcode.tokenizer.vqgan_config import VQGANConfig as VQGANConfig

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "config": ["ArchitectureConfig", "TokenizerConfig", "TokenizerRun"],
        "loss_config": ["AdversarialConfig", "LossConfig", "PerceptualConfig"],
        "model": ["Reconstruction", "Tokenizer"],
        "train": ["Sources", "train_tokenizer"],
        "vit_config": ["ViTConfig"],
        "vqgan_config": ["VQGANConfig"],
    },
)
