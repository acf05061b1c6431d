"""The order of the tests, and processes that start fast."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

# What a forkserver's processes find imported. Nothing here computes: threads of OpenMP would not survive a fork.
multiprocessing.set_forkserver_preload(
    ["gridcode.tokenizer.train", "gridcode.prior.train", "lightning_fabric", "torch._dynamo", "torch.utils.tensorboard"]
)

Start = Callable[[list[str], Path, str], BaseProcess]

_START = """
import multiprocessing, os, sys
from gridcode.cli.main import main

multiprocessing.set_start_method(None, force=True)  # data workers start as in any program, not by another server
os.setsid()
for number, path in enumerate((os.devnull, os.devnull, {output!r})):
    os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
{before}
sys.exit(main({words!r}))
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Compiled kernels first: compiling takes half a minute, and a second process then finds them on the disk."""
    items.sort(key=lambda item: "quantize/fsq/kernels" not in item.nodeid)


@pytest.fixture(scope="session")
def start_gridcode() -> Start:
    """``start_gridcode(words, errors, before)`` starts the command line in a process and a session of its own.

    The process is a fork of a server that has imported PyTorch and nothing of the test: a start takes a tenth of a
    second, where a new Python takes five. Stderr goes to the file ``errors``; ``before`` is code that is run first.
    """
    context = multiprocessing.get_context("forkserver")

    def start(words: list[str], errors: Path, before: str = "") -> BaseProcess:
        code = _START.format(output=str(errors), before=before, words=words)
        process = context.Process(target=exec, args=(code, {"__name__": "gridcode.start"}))
        process.start()
        return process

    return start
