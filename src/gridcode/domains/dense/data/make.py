"""From settings and a source to the label map between them."""

from __future__ import annotations

from gridcode.domains.dense.data.colour import ColourMap
from gridcode.domains.dense.data.config import Categories, DenseConfig, PanopticConfig
from gridcode.domains.dense.data.depth import DepthMap
from gridcode.domains.dense.data.label_map import LabelMap
from gridcode.domains.dense.data.panoptic import PanopticMap
from gridcode.errors import GridcodeError


def make_label_map(config: DenseConfig, categories: Categories | None) -> LabelMap:
    """The label map of a task.

    Args:
        config: Task, bins, instances, smallest segment.
        categories: The source's classes; only the task 'panoptic' has and needs them.

    Raises:
        GridcodeError: A panoptic map without classes.

    >>> make_label_map(DenseConfig(task="depth"), None).groups
    (256,)
    """
    if config.task == "depth":
        return DepthMap(config.depth)
    if config.task == "colour":
        return ColourMap()
    if categories is None:
        raise GridcodeError(f"{config.source}: a panoptic map needs the source's classes; open it with open_dense")
    return PanopticMap(PanopticConfig(categories, instances=config.instances, min_share=config.min_share))
