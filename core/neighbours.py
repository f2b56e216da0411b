"""The nearest images in the embedding space, also among tens of thousands.

Q query images, N gallery images, D numbers an embedding.
"""

import torch
from torch import Tensor

from core.triplets import pairwise_distances

_MEASURED_AT_ONCE = 100_000  # pairs: 50 MB for 128 numbers an embedding


def nearest(queries: Tensor, gallery: Tensor, k: int, *, leave_one_out: bool = False) -> tuple[Tensor, Tensor]:
    """Distances (Q, k), ascending, and indices (Q, k) of the k nearest gallery images of each query.

    Distances are plain Euclidean; of those found at the same distance the first in the gallery comes first. With
    `leave_one_out` queries and gallery are the same images and none finds itself. `queries` is (Q, D), `gallery`
    (N, D), both float32 on the CPU. Raises ValueError if the gallery has fewer images than that.
    """
    from sklearn.neighbors import NearestNeighbors  # takes a second to load, and not every run needs it

    # It looks through everything, by products of matrices in float64. These tell near from far, but not how small a
    # small distance is: the few that are left are measured directly.
    search = NearestNeighbors(n_neighbors=k + leave_one_out, algorithm="brute").fit(gallery.nan_to_num().numpy())
    found = search.kneighbors(queries.nan_to_num().numpy(), return_distance=False)
    index = torch.from_numpy(found).sort(dim=1).values  # (Q, k) or, to leave one out, (Q, k + 1)
    at_once = max(1, _MEASURED_AT_ONCE // index.shape[1])
    parts = zip(queries.split(at_once), index.split(at_once), strict=True)
    distance = torch.cat([pairwise_distances(part[:, None], gallery[rows]).squeeze(1) for part, rows in parts])
    if leave_one_out:
        distance[index == torch.arange(len(queries))[:, None]] = torch.inf
    distance, place = distance.sort(dim=1, stable=True)
    return distance[:, :k], index.gather(1, place[:, :k])
