"""``gridcode reconstruct`` of clouds: through a tokenizer and back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import tyro

from gridcode.cli.points.options import PointsReading
from gridcode.cli.reconstruct import parse_reconstructed
from gridcode.cli.shared.models import TokenizerModel
from gridcode.cli.shared.options import FLAT, Output, read_each

_SHOWN = 16
"""Clouds in the picture, at most."""


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
    data: Annotated[PointsReading, tyro.conf.arg(name="data")] = field(default_factory=PointsReading)
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

    from gridcode.data.file_names import file_stem, without_ending
    from gridcode.data.labelled.source import some_of
    from gridcode.domains.points.data.decode import SUFFIXES
    from gridcode.domains.points.data.loader import read_cloud
    from gridcode.domains.points.data.source import open_clouds, open_input
    from gridcode.domains.points.distance import chamfer
    from gridcode.domains.points.domain import PointsDomain, data_of
    from gridcode.domains.points.files import write_cloud
    from gridcode.domains.points.show import save_sheet

    tokenizer = parsed.model.load()
    data = parsed.data.applied(data_of(tokenizer))
    assert isinstance(tokenizer.domain, PointsDomain)
    tokenizer.domain.points = data.points
    source = open_clouds(data, "val") if parsed.input is None else open_input(replace(data, source=parsed.input))
    chosen, out = some_of(source, parsed.count), parsed.output.make()

    def pass_through(number: int) -> tuple[torch.Tensor, torch.Tensor, float]:
        cloud = chosen[number]
        points = torch.from_numpy(read_cloud(cloud, None, config=data))
        back = tokenizer.decode(tokenizer.encode(points[None].to(tokenizer.device)))[0].cpu()
        found = chamfer(back[None], points[None]).item()
        write_cloud(out / f"{number:04d}-{file_stem(without_ending(cloud.key, SUFFIXES))}.{parsed.format}", back)
        print(f"{cloud.key}  Chamfer distance {found:.5f}")
        return points, back, found

    results = read_each(len(chosen), pass_through, name=source.name, what="clouds", on_error=data.on_error)
    clouds, backs, distances = zip(*results, strict=True)
    save_sheet(out / "comparison.png", torch.stack(clouds[:_SHOWN]), torch.stack(backs[:_SHOWN]))
    count = len(distances)
    mean = sum(distances) / count
    print(f"{count} cloud{'s' * (count != 1)} in {out}, mean Chamfer distance {mean:.5f}")
    print(f"scatter plots of originals, each with its reconstruction below: {out / 'comparison.png'}")
