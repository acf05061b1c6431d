"""Stage I of dense prediction: label maps to codes and back, with the picture as context."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from gridcode.tokenizer.labels.config import LabelTokenizerConfig as LabelTokenizerConfig
    from gridcode.tokenizer.labels.config import LabelTokenizerRun as LabelTokenizerRun
    from gridcode.tokenizer.labels.describe import describe_label_run as describe_label_run
    from gridcode.tokenizer.labels.measure import TaskMeter as TaskMeter
    from gridcode.tokenizer.labels.measure import measure_labels as measure_labels
    from gridcode.tokenizer.labels.model import LabelReconstruction as LabelReconstruction
    from gridcode.tokenizer.labels.model import LabelTokenizer as LabelTokenizer
    from gridcode.tokenizer.labels.train import DenseSources as DenseSources
    from gridcode.tokenizer.labels.train import train_label_tokenizer as train_label_tokenizer

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "config": ["LabelTokenizerConfig", "LabelTokenizerRun"],
        "describe": ["describe_label_run"],
        "measure": ["TaskMeter", "measure_labels"],
        "model": ["LabelReconstruction", "LabelTokenizer"],
        "train": ["DenseSources", "train_label_tokenizer"],
    },
)
