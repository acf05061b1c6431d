"""``gridcode reconstruct`` of clouds: through a tokenizer and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from gridcode.cli.points.options import PointsReading
from gridcode.cli.reconstruct import chosen_examples, parse_reconstructed
from gridcode.cli.shared.models import TokenizerModel
from gridcode.cli.shared.options import FLAT, Output

_SHOWN = 16
"""Clouds in comparison.png, at most."""


@dataclass(frozen=True)
class Arguments:
    """Send clouds through a tokenizer and back.

    --out gets the reconstructions, in the coordinates that the tokenizer sees (data.normalise), and comparison.png
    with scatter plots of the first 16.
    """

    model: Annotated[TokenizerModel, FLAT]
    output: Annotated[Output, FLAT]
    input: str | None = None
    """A cloud, or all that training reads, of splits the validation, or 'solids'; the tokenizer's own by default."""
    data: PointsReading = field(default_factory=PointsReading)
    """How clouds are read."""
    count: int = 16
    """Clouds at most, from all over the input."""
    format: Literal["npy", "ply"] = "npy"
    """Of the files."""


def run(arguments: list[str]) -> None:
    """Reconstruct clouds.

    Raises:
        GridcodeError: The command line or what it names is wrong.
    """
    parsed = parse_reconstructed(Arguments, "points", arguments)
    import torch

    from gridcode.domains.points.data.decode import SUFFIXES
    from gridcode.domains.points.data.loader import read_cloud
    from gridcode.domains.points.data.source import Cloud, open_input
    from gridcode.domains.points.distance import chamfer
    from gridcode.domains.points.domain import PointsDomain
    from gridcode.domains.points.files import write_cloud
    from gridcode.domains.points.show import save_sheet

    chosen = chosen_examples(parsed, "points", open_input)
    tokenizer, data, out = chosen.tokenizer, chosen.data, parsed.output.make()
    assert isinstance(tokenizer.domain, PointsDomain)
    tokenizer.domain.points = data.points

    def pass_through(cloud: Cloud, name: str) -> tuple[torch.Tensor, torch.Tensor, float]:
        points = torch.from_numpy(read_cloud(cloud, None, config=data))
        back = tokenizer.decode(tokenizer.encode(points[None].to(tokenizer.device)))[0].cpu()
        found = chamfer(back[None], points[None]).item()
        write_cloud(out / f"{name}.{parsed.format}", back)
        print(f"{cloud.key}  Chamfer distance {found:.5f}")
        return points, back, found

    clouds, backs, distances = zip(*chosen.each(pass_through, SUFFIXES), strict=True)
    save_sheet(out / "comparison.png", torch.stack(clouds[:_SHOWN]), torch.stack(backs[:_SHOWN]))
    count = len(distances)
    mean = sum(distances) / count
    print(f"{count} cloud{'s' * (count != 1)} in {out}, mean Chamfer distance {mean:.5f}")
    print(f"scatter plots of originals, each with its reconstruction below: {out / 'comparison.png'}")
