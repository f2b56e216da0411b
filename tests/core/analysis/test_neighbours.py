"""The search finds what the direct form finds, also where images are hard to tell apart."""

import pytest
import torch
from torch.nn.functional import normalize

from core.analysis import neighbours
from core.analysis.distances import pairwise_distances

pytestmark = pytest.mark.usefixtures("one_thread")

COUNT, SIZE, ASKED = 1003, 24, 120


def drawn(kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Queries (ASKED, SIZE) and a gallery (COUNT, SIZE) on a sphere of radius 10, rounded as the lab's embeddings."""
    draw = torch.Generator().manual_seed(3)
    points = torch.randn(COUNT + ASKED, SIZE, generator=draw)
    if kind.startswith("clusters"):
        width = float(kind.split()[1])
        centres = torch.randn(10, SIZE, generator=draw)
        points = centres[torch.arange(len(points)) % 10] + width * points
    elif kind == "collapsed":
        points = torch.ones(COUNT + ASKED, SIZE) + 1e-3 * (points > 2)
    elif kind == "twins":
        points = points[torch.arange(len(points)) % 400]
    elif kind == "not on the sphere":
        return points[:ASKED] * 1000, points[ASKED:]
    points = (10 * normalize(points)).half().float()
    return points[:ASKED], points[ASKED:]


KINDS = ["even", "clusters 0.3", "clusters 0.01", "clusters 0.001", "collapsed", "twins", "not on the sphere"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 5, 16, 101])
@pytest.mark.parametrize("leave_one_out", [False, True])
def test_as_the_direct_form(monkeypatch, kind, k, leave_one_out):
    queries, gallery = drawn(kind)
    queries = gallery if leave_one_out else queries
    monkeypatch.setattr(neighbours, "_MEASURED_AT_ONCE", 1000)
    distance, index = neighbours.nearest(queries, gallery, k, leave_one_out=leave_one_out)
    everything = pairwise_distances(queries, gallery)
    if leave_one_out:
        everything.fill_diagonal_(torch.inf)
    expected = everything.topk(k, largest=False, sorted=True)
    torch.testing.assert_close(distance, expected.values, rtol=1e-6, atol=0)  # float32 cannot tell the last ones apart
    assert torch.equal(everything.gather(1, index), distance)  # each distance is that of its image, bit for bit
    assert all(len(set(row)) == k for row in index.tolist())
    nearest = everything.sort(dim=1).values[:, : k + 1]
    differ = (nearest.diff(dim=1) > 1e-6 * nearest[:, 1:]).all(dim=1)  # no two equally near
    assert torch.equal(index[differ], expected.indices[differ])


def test_what_is_no_number_harms_no_other():
    queries, gallery = drawn("even")
    queries[3, 2] = torch.nan
    distance, _ = neighbours.nearest(queries, gallery, 2)
    assert torch.equal(distance[4:], pairwise_distances(queries[4:], gallery).topk(2, largest=False).values)


@pytest.mark.parametrize("length", [1, 63, 64, 65, 1000])
@pytest.mark.parametrize("count", [1, 5, 21])
def test_the_smallest_of_each_row(length, count):
    values = torch.randn(7, length, generator=torch.Generator().manual_seed(length))
    count = min(count, length)
    expected = values.topk(count, largest=False)
    value, index = neighbours._smallest(values, count)
    assert torch.equal(value, expected.values)
    assert torch.equal(index, expected.indices)


def test_a_gallery_that_is_too_small_is_refused():
    _, gallery = drawn("even")
    with pytest.raises(ValueError, match="4 neighbours cannot be found among 3 images"):
        neighbours.nearest(gallery[:3], gallery[:3], 3, leave_one_out=True)
