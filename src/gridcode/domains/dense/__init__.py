"""Dense prediction: label maps to codes and back with the image as context, and codes predicted from images.

Imports read one way, from left to right::

    data ──> config ──> networks ─────────┐               ┌──> train
     ├────> loss ─────> measure ──────────┼──> domain ────┼──> predictor ──> predict_folder
     ├────> show ─────────────────────────┘               └──> evaluate ───> report
     ├────> baselines, colour_sets ───────────────────────────────┘
     └────> prior/ ───> recipes ──────────> train

At run time ``loss`` and ``measure`` are given the domain; they name it in annotations only.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
