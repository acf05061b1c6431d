"""The order of the tests."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Compiled kernels first: compiling takes half a minute, and a second process then finds them on the disk."""
    items.sort(key=lambda item: "quantize/fsq/kernels" not in item.nodeid)
