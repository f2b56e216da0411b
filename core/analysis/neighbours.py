"""The nearest images in the embedding space, also among tens of thousands.

Q query images, N gallery images, D numbers an embedding.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from core.analysis.distances import pairwise_distances

_MEASURED_AT_ONCE = 100_000  # pairs: 50 MB for 128 numbers an embedding
_ASKED_AT_ONCE = 400  # queries: 96 MB for 60,000 images
_SPARE = 16  # more than are wanted, because the search is rough
_BLOCK = 64  # images


def nearest(queries: Tensor, gallery: Tensor, k: int, *, leave_one_out: bool = False) -> tuple[Tensor, Tensor]:
    """Distances (Q, k), ascending, and indices (Q, k) of the k nearest gallery images of each query.

    Distances are plain Euclidean; of those found at the same distance the first in the gallery comes first. With
    `leave_one_out` queries and gallery are the same images and none finds itself. `queries` is (Q, D), `gallery`
    (N, D), both float32 on the CPU. Raises ValueError if the gallery has fewer images than that.
    """
    wanted = k + leave_one_out
    if wanted > len(gallery):
        raise ValueError(f"{wanted} neighbours cannot be found among {len(gallery)} images")
    index = _candidates(queries.nan_to_num(), gallery.nan_to_num(), wanted).sort(dim=1).values
    at_once = max(1, _MEASURED_AT_ONCE // index.shape[1])
    parts = zip(queries.split(at_once), index.split(at_once), strict=True)
    distance = torch.cat([pairwise_distances(part[:, None], gallery[rows]).squeeze(1) for part, rows in parts])
    if leave_one_out:
        distance[index == torch.arange(len(queries))[:, None]] = torch.inf
    distance, place = distance.sort(dim=1, stable=True)
    return distance[:, :k], index.gather(1, place[:, :k])


def _candidates(queries: Tensor, gallery: Tensor, wanted: int) -> Tensor:
    """Indices of the `wanted` nearest images of each query and of some more, in any order: (Q, wanted + some).

    A product of matrices in float32 is fast and rough. Where an image that it puts behind all of them could still
    belong to the nearest by its largest possible error, the query is asked again in float64.
    """
    count = min(wanted + _SPARE, len(gallery))
    squares = gallery.square().sum(dim=1)  # (N,)
    known = torch.cat([-2 * gallery, squares[:, None]], dim=1).T  # (D + 1, N)
    memory = torch.empty(min(len(queries), _ASKED_AT_ONCE), len(gallery))
    found = []
    for asked in queries.split(_ASKED_AT_ONCE):
        rough = memory[: len(asked)]  # (q, N) squared distances less the query's square
        torch.mm(F.pad(asked, (0, 1), value=1.0), known, out=rough)
        value, index = _smallest(rough, count)  # (q, count)
        # of a sum of D + 1 products (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1)
        error = 2 * len(known) * 2**-24 * (asked.square().sum(dim=1) + squares.max())
        doubtful = value[:, -1] - value[:, wanted - 1] <= 2 * error
        if count < len(gallery) and doubtful.any():
            index[doubtful] = _searched_exactly(asked[doubtful], gallery, count)
        found.append(index)
    return torch.cat(found)


def _smallest(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` smallest of each row of (q, N), ascending, and where they are; in long rows faster than topk.

    They lie in the `count` blocks whose own smallest are the smallest, or in what is left after the last block.
    """
    whole = values.shape[1] // _BLOCK
    blocks = values[:, : whole * _BLOCK].unflatten(1, (whole, _BLOCK))  # (q, blocks, _BLOCK)
    best = blocks.amin(dim=2).topk(min(count, whole), largest=False).indices  # (q, at most count)
    inside = (best[:, :, None] * _BLOCK + torch.arange(_BLOCK)).flatten(1)
    rest = torch.arange(whole * _BLOCK, values.shape[1]).expand(len(values), -1)
    place = torch.cat([inside, rest], dim=1)
    value, order = values.gather(1, place).topk(count, largest=False)
    return value, place.gather(1, order)


def _searched_exactly(queries: Tensor, gallery: Tensor, count: int) -> Tensor:
    """Indices (Q, count) of the nearest images, found in float64."""
    from sklearn.neighbors import NearestNeighbors  # takes a second to load and is seldom needed

    search = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(gallery.numpy())
    return torch.from_numpy(search.kneighbors(queries.numpy(), return_distance=False))
