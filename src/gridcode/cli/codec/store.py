"""``gridcode compress`` and ``decompress`` of a token store: a coded file for each split, and the store again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gridcode.cli.codec.files import SUFFIX, read_stream
from gridcode.cli.shared.folders import is_hub_id, sort_of
from gridcode.cli.shared.models import CodecModel
from gridcode.domains.image.config import rate_folders
from gridcode.errors import FileError, GridcodeError, MissingFileError

if TYPE_CHECKING:
    from gridcode.prior.base import Prior


def compress_store(
    folder: Path, model: CodecModel, out: Path | None, *, coder: Literal["raw", "static", "prior"] | None, force: bool
) -> None:
    """Write each split of a token store as one file, by the model's prior where it has one.

    Raises:
        GridcodeError: There is no place for the files, or the prior learned other tokens.
    """
    if out is None or out.is_file():
        raise GridcodeError("the splits of a token store go into a folder: give it as --out")
    from gridcode.store.reader import TokenStore
    from gridcode.tasks.coded_store import code_split
    from gridcode.training.log import ProgressBar

    store = TokenStore.open(folder)
    prior = _prior(model, store.manifest.tokenizer) if coder in (None, "prior") else None
    if coder == "prior" and prior is None:
        raise GridcodeError(f"--coder prior needs a prior, and there is none in {model.model}; give another --model")
    if not store.splits:
        raise GridcodeError(f"the token store {folder} has no examples; give another one")
    paths = {split: out / f"{split}{SUFFIX}" for split in store.splits}
    for path in paths.values():
        if path.exists() and not force:
            raise FileError(f"{path} is there already; give another --out, or --force to write over it")
    for split, path in paths.items():
        with ProgressBar(f"compress {split}", total=store.rows(split)) as bar:
            size = code_split(store, split, path, prior=prior, coder=coder, progress=lambda done, _: bar.advance(done))
        tokens = store.rows(split) * store.manifest.tokens_per_example
        print(f"{path}: {size:,} bytes, {8 * size / tokens:.3f} bits per token")


def decompress_store(files: Sequence[Path], model: CodecModel, out: Path | None, *, force: bool) -> None:
    """Write a token store again from the files of its splits.

    Raises:
        GridcodeError: There is no place for it, a file is damaged, or the model is another.
    """
    if out is None or out.is_file():
        raise GridcodeError("a token store goes into a folder: give it as --out")
    from gridcode.tasks.coded_store import decode_store
    from gridcode.training.log import ProgressBar

    of = read_stream(files[0]).header.model
    with ProgressBar("decompress", total=None) as bar:
        store = decode_store(
            files, out, prior=_prior(model, of), overwrite=force, progress=lambda _, done, __: bar.advance(done)
        )
    counts = ", ".join(f"{store.rows(split):,} {split}" for split in store.splits)
    print(f"{out}: a token store, {counts}")


def _prior(model: CodecModel, tokenizer: str) -> Prior | None:
    """The prior of a folder that holds one, or that the folder or the hub's model is; None where there is none.

    Of a codec of several rates it is that of the tokenizer with this hash.
    """
    place = Path(model.model)
    if not place.is_dir():
        if not is_hub_id(model.model):
            raise MissingFileError(f"no folder {place}, and it is no hub id (org/name); check --model")
        from gridcode.hub import find_model

        model.device.usable()  # before anything is downloaded
        place = find_model(model.model)
    inside = [place / "prior"] if (place / "prior").is_dir() else [rate / "prior" for rate in rate_folders(place)]
    found = [folder for folder in inside or [place] if sort_of(folder) in ("class prior", "image prior")]
    if not found:
        return None
    from gridcode.prior.make import load_prior

    for folder in found:  # one at a time in memory; where none fits, the last is what the error is about
        prior = load_prior(folder, device=model.device.usable())
        if prior.space.tokenizer == tokenizer:
            break
    return prior
