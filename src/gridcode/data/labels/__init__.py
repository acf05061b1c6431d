"""Pictures with label maps: depth, panoptic segments, colour. Sources, encodings, files and batches."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from gridcode.data.labels.coco import CocoPanoptic as CocoPanoptic
    from gridcode.data.labels.coco import write_coco as write_coco
    from gridcode.data.labels.colour import ColourMap as ColourMap
    from gridcode.data.labels.colour import ColourPictures as ColourPictures
    from gridcode.data.labels.config import Categories as Categories
    from gridcode.data.labels.config import DenseConfig as DenseConfig
    from gridcode.data.labels.config import DepthConfig as DepthConfig
    from gridcode.data.labels.config import PanopticConfig as PanopticConfig
    from gridcode.data.labels.depth import DepthMap as DepthMap
    from gridcode.data.labels.files import read_depth as read_depth
    from gridcode.data.labels.files import write_depth as write_depth
    from gridcode.data.labels.label_map import LabelMap as LabelMap
    from gridcode.data.labels.loader import DenseBatch as DenseBatch
    from gridcode.data.labels.loader import dense_eval_batches as dense_eval_batches
    from gridcode.data.labels.loader import dense_train_batches as dense_train_batches
    from gridcode.data.labels.make import make_label_map as make_label_map
    from gridcode.data.labels.open import open_dense as open_dense
    from gridcode.data.labels.panoptic import PanopticMap as PanopticMap
    from gridcode.data.labels.panoptic import canonical as canonical
    from gridcode.data.labels.scenes import DenseScenes as DenseScenes
    from gridcode.data.labels.source import DenseExample as DenseExample
    from gridcode.data.labels.source import DenseSource as DenseSource
    from gridcode.data.labels.stored import FolderLabels as FolderLabels
    from gridcode.data.labels.stored import ParquetLabels as ParquetLabels

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "coco": ["CocoPanoptic", "write_coco"],
        "colour": ["ColourMap", "ColourPictures"],
        "config": ["Categories", "DenseConfig", "DepthConfig", "PanopticConfig"],
        "depth": ["DepthMap"],
        "files": ["read_depth", "write_depth"],
        "label_map": ["LabelMap"],
        "loader": ["DenseBatch", "dense_eval_batches", "dense_train_batches"],
        "make": ["make_label_map"],
        "open": ["open_dense"],
        "panoptic": ["PanopticMap", "canonical"],
        "scenes": ["DenseScenes"],
        "source": ["DenseExample", "DenseSource"],
        "stored": ["FolderLabels", "ParquetLabels"],
    },
)
