"""The order of the tests, and processes that start fast."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

# What a forkserver's processes find imported. Nothing here computes: threads of OpenMP would not survive a fork.
multiprocessing.set_forkserver_preload(
    [
        "gridcode.tokenizer.train",
        "gridcode.prior.train",
        "gridcode.training.lightning",
        "torch._dynamo",
        "torch.utils.tensorboard",
    ]
)

StartPython = Callable[[str, Path], BaseProcess]
Start = Callable[[list[str], Path, str], BaseProcess]

_ALONE = """
import multiprocessing, os, sys

multiprocessing.set_start_method(None, force=True)  # data workers start as in any program, not by another server
os.setsid()
for number, path in enumerate((os.devnull, os.devnull, {errors!r})):
    os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
"""
_COMMAND = """
from gridcode.cli.main import main

{before}
sys.exit(main({words!r}))
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Compiled kernels first: compiling takes half a minute, and a second process then finds them on the disk."""
    items.sort(key=lambda item: "quantize/fsq/kernels" not in item.nodeid)


@pytest.fixture(scope="session")
def start_python() -> StartPython:
    """``start_python(code, errors)`` runs code in a process and a session of its own; stderr goes to ``errors``.

    The process is a fork of a server that has imported PyTorch and nothing of the test: a start takes a tenth of a
    second, where a new Python takes five.
    """
    context = multiprocessing.get_context("forkserver")
    forkserver.ensure_running()  # now: a test may change where temporary files go

    def start(code: str, errors: Path) -> BaseProcess:
        whole = _ALONE.format(errors=str(errors)) + code
        process = context.Process(target=exec, args=(whole, {"__name__": "gridcode.start"}))
        process.start()
        return process

    return start


@pytest.fixture(scope="session")
def start_gridcode(start_python: StartPython) -> Start:
    """``start_gridcode(words, errors, before)`` starts the command line so; ``before`` is code that is run first."""

    def start(words: list[str], errors: Path, before: str = "") -> BaseProcess:
        return start_python(_COMMAND.format(before=before, words=words), errors)

    return start


@pytest.fixture(scope="session")
def lpips_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """VGG-16 and LPIPS's heads with random weights, as their authors publish them."""
    import torch

    from gridcode.features.vgg import VGG16, WIDTHS

    folder = tmp_path_factory.mktemp("lpips")
    draw = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(VGG16().state_dict(), folder / "vgg16.pth")
    heads = {f"lin{k}.model.1.weight": torch.rand(1, w, 1, 1, generator=draw) for k, w in enumerate(WIDTHS)}
    torch.save(heads, folder / "heads.pth")
    return folder / "vgg16.pth", folder / "heads.pth"
