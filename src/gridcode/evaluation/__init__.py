"""Measure a tokenizer and a prior, and write down what was found."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from gridcode.evaluation.charts import Chart as Chart
    from gridcode.evaluation.charts import CodeUsage as CodeUsage
    from gridcode.evaluation.charts import Curve as Curve
    from gridcode.evaluation.charts import Mark as Mark
    from gridcode.evaluation.pictures import contact_sheet as contact_sheet
    from gridcode.evaluation.pictures import save_png as save_png
    from gridcode.evaluation.pictures import to_uint8 as to_uint8
    from gridcode.evaluation.report import AlarmMark as AlarmMark
    from gridcode.evaluation.report import Figure as Figure
    from gridcode.evaluation.report import Gallery as Gallery
    from gridcode.evaluation.report import PictureGroup as PictureGroup
    from gridcode.evaluation.report import Report as Report
    from gridcode.evaluation.report import Table as Table
    from gridcode.evaluation.report import reconstruction_gallery as reconstruction_gallery
    from gridcode.evaluation.report import sample_gallery as sample_gallery
    from gridcode.evaluation.report import write_report as write_report

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "charts": ["Chart", "CodeUsage", "Curve", "Mark"],
        "pictures": ["contact_sheet", "save_png", "to_uint8"],
        "report": [
            "AlarmMark",
            "Figure",
            "Gallery",
            "PictureGroup",
            "Report",
            "Table",
            "reconstruction_gallery",
            "sample_gallery",
            "write_report",
        ],
    },
)
