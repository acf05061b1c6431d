"""Everything that makes typed batches of images: sources, crops, and the loader."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from gridcode.data.adapter import TorchDataset as TorchDataset
    from gridcode.data.config import CropPolicy as CropPolicy
    from gridcode.data.config import DataConfig as DataConfig
    from gridcode.data.folder import ImageFolder as ImageFolder
    from gridcode.data.loader import Batch as Batch
    from gridcode.data.loader import eval_batches as eval_batches
    from gridcode.data.loader import train_batches as train_batches
    from gridcode.data.npz import NpzImages as NpzImages
    from gridcode.data.open import open_split as open_split
    from gridcode.data.parquet import ParquetImages as ParquetImages
    from gridcode.data.scenes import Scenes as Scenes
    from gridcode.data.source import Example as Example
    from gridcode.data.source import ImageSource as ImageSource

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "adapter": ["TorchDataset"],
        "config": ["CropPolicy", "DataConfig"],
        "folder": ["ImageFolder"],
        "loader": ["Batch", "eval_batches", "train_batches"],
        "npz": ["NpzImages"],
        "open": ["open_split"],
        "parquet": ["ParquetImages"],
        "scenes": ["Scenes"],
        "source": ["Example", "ImageSource"],
    },
)
