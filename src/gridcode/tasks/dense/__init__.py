"""Dense prediction: train both stages, predict label maps, write them as files."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from gridcode.tasks.dense.config import DenseRun as DenseRun
    from gridcode.tasks.dense.predict import PredictOptions as PredictOptions
    from gridcode.tasks.dense.predict import predict_source as predict_source
    from gridcode.tasks.dense.predictor import DensePrediction as DensePrediction
    from gridcode.tasks.dense.predictor import DensePredictor as DensePredictor
    from gridcode.tasks.dense.tokens import tokenize_labels as tokenize_labels
    from gridcode.tasks.dense.train import DenseOptions as DenseOptions
    from gridcode.tasks.dense.train import train_dense as train_dense

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "config": ["DenseRun"],
        "predict": ["PredictOptions", "predict_source"],
        "predictor": ["DensePrediction", "DensePredictor"],
        "tokens": ["tokenize_labels"],
        "train": ["DenseOptions", "train_dense"],
    },
)
