from __future__ import annotations

import pytest
import torch

from gridcode.errors import GridcodeError
from gridcode.metrics import nearest_neighbours


def test_blocks_do_not_change_the_answer() -> None:
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(11, 5, generator=generator)
    references = torch.randn(53, 5, generator=generator)
    distances = (queries[:, None] - references).norm(dim=2)
    expected = distances.sort(dim=1)
    found = nearest_neighbours(queries, references, 4, query_block=3, reference_block=2)
    assert torch.equal(found.indices, expected.indices[:, :4])
    torch.testing.assert_close(found.distances, expected.values[:, :4])


def test_a_copy_is_found_at_distance_zero_far_from_the_origin() -> None:
    references = torch.randn(20, 300, generator=torch.Generator().manual_seed(1)) + 50
    found = nearest_neighbours(references[[7, 3]], references)
    assert found.indices.flatten().tolist() == [7, 3]
    assert found.distances.flatten().tolist() == [0.0, 0.0]


def test_uint8_images_can_be_compared_as_they_are() -> None:
    references = torch.tensor([[0, 0], [255, 255], [250, 10]], dtype=torch.uint8)
    found = nearest_neighbours(references[[2]], references, 3)
    assert found.indices.tolist() == [[2, 1, 0]]


def test_errors_name_what_was_seen() -> None:
    with pytest.raises(GridcodeError, match="k must be from 1 to 2"):
        nearest_neighbours(torch.zeros(1, 3), torch.zeros(2, 3), 3)
    with pytest.raises(GridcodeError, match="flatten images first"):
        nearest_neighbours(torch.zeros(1, 3, 4), torch.zeros(2, 3))
