"""The nearest images in the embedding space, exactly, and fast also among tens of thousands.

Q query images, N gallery images, D numbers an embedding.
"""

import torch
from torch import Tensor

from core.triplets import pairwise_distances

_QUERIES_AT_ONCE = 250  # bounds the memory for distances: 250 x 60,000 of them are 60 MB
_LARGE = 10_000  # gallery images from which the rough look pays
_GROUP = 4  # images of which the rough look takes the nearest only
_LOOKED_AT = 16  # groups whose images are measured; or twice as many as neighbours are wanted
_MOST = 100  # neighbours up to which the rough look pays


def nearest(queries: Tensor, gallery: Tensor, k: int, *, leave_one_out: bool = False) -> tuple[Tensor, Tensor]:
    """Distances (Q, k), ascending, and indices (Q, k) of the k nearest gallery images of each query.

    Distances are plain Euclidean, by `pairwise_distances`. With `leave_one_out` queries and gallery are the same images
    and none finds itself. `queries` is (Q, D), `gallery` (N, D), both float32.
    """
    distance = torch.empty(len(queries), k, device=queries.device)
    index = torch.empty(len(queries), k, dtype=torch.int64, device=queries.device)
    rows = torch.arange(len(queries), device=queries.device)  # those that are not certain yet
    rough = len(gallery) >= _LARGE and k <= _MOST
    for precision in (torch.float32, torch.float64) if rough else ():
        if not len(rows):
            break
        extended = torch.cat([gallery, gallery.double().pow(2).sum(dim=1, keepdim=True)], dim=1).to(precision)
        space = torch.full((_QUERIES_AT_ONCE, -(-len(gallery) // _GROUP) * _GROUP), torch.inf, dtype=precision)
        space = space.to(gallery.device)  # one for all parts: fresh memory costs as much as what is done with it
        left = [rows[:0]]
        for part in rows.split(_QUERIES_AT_ONCE):
            own = part if leave_one_out else None
            distance[part], index[part], certain = _rough_look(queries[part], gallery, extended, space, k, own)
            left.append(part[~certain])
        rows = torch.cat(left)
    for part in rows.split(_QUERIES_AT_ONCE):
        measured = pairwise_distances(queries[part], gallery)  # (q, N)
        if leave_one_out:
            measured.scatter_(1, part[:, None], torch.inf)
        distance[part], index[part] = measured.topk(k, largest=False, sorted=True)
    return distance, index


def _rough_look(
    queries: Tensor, gallery: Tensor, extended: Tensor, space: Tensor, k: int, own: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Distances (q, k), indices (q, k), and whether they are certain (q,): the direct form would find the same.

    |a - b|^2 = |a|^2 - 2ab + |b|^2 takes a twentieth of the time of the direct form, but loses the small distances. So
    it only says which images are too far away to matter, by more than its largest possible error; the others are
    measured. Of equally near images the first comes first. `extended` (N, D + 1) are b and |b|^2 in the precision of
    the look, `space` is memory for its result; `own` (q,) is each query's place in the gallery, or None.
    """
    count, precision = len(gallery), extended.dtype
    rough = space[: len(queries)]  # infinite in the columns behind the gallery
    asked = torch.cat([-2 * queries, queries.new_ones(len(queries), 1)], dim=1).to(precision)
    torch.mm(asked, extended.T, out=rough[:, :count])  # lacks |a|^2
    if own is not None:
        rough.scatter_(1, own[:, None], torch.inf)
    # Group j are the columns j, j + groups, j + 2 groups, …: so the minimum reads memory in one stream
    closest = rough.view(len(queries), _GROUP, -1).amin(dim=1)  # (q, groups)
    value, group = closest.topk(max(_LOOKED_AT, 2 * k) + 1, largest=False, sorted=True)
    column = group[:, :-1, None] + closest.shape[1] * torch.arange(_GROUP, device=group.device)
    column = column.flatten(1).sort(dim=1).values  # (q, …) places in the gallery
    missing = column >= count if own is None else (column >= count) | (column == own[:, None])
    candidates = gallery[column.clamp(max=count - 1)]  # (q, …, D)
    measured = pairwise_distances(queries[:, None], candidates).squeeze(1).masked_fill_(missing, torch.inf)
    distance, place = measured.sort(dim=1, stable=True)
    distance, place = distance[:, :k], place[:, :k]
    # A sum of n products is off by at most n roundings of their magnitudes (Higham, Accuracy and Stability, 3.1)
    roundings = queries.shape[1] + 4
    squares = queries.double().pow(2).sum(dim=1).to(precision)  # (q,) |a|^2
    error = roundings * torch.finfo(precision).eps / 2 * (squares.sqrt() + extended[:, -1].max().sqrt()).pow(2)
    of_measured = 4 * roundings * torch.finfo(measured.dtype).eps / 2  # relative
    furthest = distance[:, -1].to(precision).pow(2) * (1 + of_measured)
    return distance, column.gather(1, place), value[:, -1] + squares - error > furthest
