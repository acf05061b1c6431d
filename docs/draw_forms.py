"""Draw docs/images/forms.png: every form of FSQ, its curve and its bins, from the constants the quantizer uses.

Run ``python docs/draw_forms.py``.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot

from gridcode.quantize.fsq.forms import DEFAULT_EPS, FormName, channel

SHOWN: tuple[FormName, ...] = ("paper", "atanh", "symmetric", "ifsq")
LEVELS = (2, 5, 8)


def main() -> None:
    """One panel a form and level: the bounded latent, the code it rounds to, and a shade for every other bin."""
    z = np.linspace(-4, 4, 2001)
    figure, axes = pyplot.subplots(len(LEVELS), len(SHOWN), figsize=(13, 8), sharex=True, sharey=True)
    for row, level in enumerate(LEVELS):
        for axis, form in zip(axes[row], SHOWN, strict=True):
            curve = channel(form, level, DEFAULT_EPS if form in ("paper", "atanh") else 0.0)
            digits = (z[:, None] > curve.thresholds).sum(1)
            edges = [z[0], *np.clip(curve.thresholds, z[0], z[-1]), z[-1]]
            for place in range(0, level, 2):
                axis.axvspan(edges[place], edges[place + 1], color="tab:blue", alpha=0.12, lw=0)
            axis.plot(z, curve.bounded(z), color="tab:gray", lw=1, label="bounded")
            axis.step(z, curve.codes[digits], color="tab:red", lw=1.4, label="code")
            axis.set_title(f"{form}, L = {level}", fontsize=10)
    axes[0][0].legend(fontsize=8, loc="upper left")
    for axis in axes[-1]:
        axis.set_xlabel("latent z")
    figure.tight_layout()
    figure.savefig(Path(__file__).parent / "images" / "forms.png", dpi=90)


if __name__ == "__main__":
    main()
