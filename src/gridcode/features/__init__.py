"""Networks that only measure: a small classifier trained on the data at hand."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from gridcode.features.classifier import Classifier as Classifier
    from gridcode.features.classifier import load_classifier as load_classifier
    from gridcode.features.classifier import save_classifier as save_classifier
    from gridcode.features.config import ClassifierConfig as ClassifierConfig
    from gridcode.features.train import accuracy as accuracy
    from gridcode.features.train import train_classifier as train_classifier

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "classifier": ["Classifier", "load_classifier", "save_classifier"],
        "config": ["ClassifierConfig"],
        "train": ["accuracy", "train_classifier"],
    },
)
