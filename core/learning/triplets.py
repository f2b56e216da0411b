"""Distances between embeddings, the rules that say which triplets of a batch count, and the losses of metric learning.

Distances are plain (not squared) Euclidean. B embeddings of one batch, D numbers each, T triplets.

A rule takes (embeddings (B, D), pairs, margin, draw) and returns Triplets; `pairs` says which images of the batch are
positives and negatives of which, and `draw` is the generator of the step. Rules look at values only: no gradient passes
through the choice. An image without a triplet is left out and counted.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from core.analysis.distances import pairwise_distances
from core.settings.config import SPHERE_RADIUS

_QUANTILES = (0.1, 0.5, 0.9)
_LOOKED_AT = 4096  # triplets of a batch that the quantiles are taken of, evenly spaced: sorting all takes too long
_PUSHED = 0.01  # a triplet is active if it is pushed with at least this fraction of the full force


class Triplets(NamedTuple):
    """Places in the batch (T,): anchor, positive (the anchor's class), negative (another class)."""

    anchors: Tensor
    positives: Tensor
    negatives: Tensor


class Pairs(NamedTuple):
    """Who is who to an anchor: (B, B) bool each, row = anchor. A positive is another image of the anchor's class."""

    positive: Tensor
    negative: Tensor


def pairs_of(labels: Tensor, images: Tensor | None = None) -> Pairs:
    """The pairs of a batch with labels (B,). `images` (B,) tells its images apart; None if all of them are different.

    A batch of drawn triplets may hold an image twice. A copy of the anchor teaches nothing and is no positive.
    """
    same_class = labels[:, None] == labels[None, :]
    if images is None:
        return Pairs(same_class.clone().fill_diagonal_(False), ~same_class)
    images = images.to(labels.device)
    return Pairs(same_class & (images[:, None] != images[None, :]), ~same_class)


# The rules


def drawn(embeddings: Tensor, pairs: Pairs, margin: float, draw: torch.Generator) -> Triplets:
    """The triplets as they were drawn: a batch (3T,) of all anchors, then their positives, then their negatives."""
    return Triplets(*torch.arange(len(embeddings), device=embeddings.device).chunk(3))


def all_valid(embeddings: Tensor, pairs: Pairs, margin: float, draw: torch.Generator) -> Triplets:
    """Every triplet of different images with a positive of the anchor's class and a negative of another one."""
    positive, negative = pairs
    return Triplets(*(positive[:, :, None] & negative[:, None, :]).nonzero().unbind(dim=1))


def batch_hard(embeddings: Tensor, pairs: Pairs, margin: float, draw: torch.Generator) -> Triplets:
    """For each anchor its furthest positive and its closest negative (arXiv:1703.07737)."""
    positive, negative = pairs
    distances = _distances(embeddings)
    anchors = (positive.any(dim=1) & negative.any(dim=1)).nonzero().flatten()
    furthest_positive = distances.masked_fill(~positive, -math.inf).argmax(dim=1)  # (B,)
    closest_negative = distances.masked_fill(~negative, math.inf).argmin(dim=1)  # (B,)
    return Triplets(anchors, furthest_positive[anchors], closest_negative[anchors])


def semi_hard(embeddings: Tensor, pairs: Pairs, margin: float, draw: torch.Generator) -> Triplets:
    """All triplets with d(a, p) < d(a, n) < d(a, p) + margin (FaceNet, arXiv:1503.03832).

    A pair (a, p) that has no such negative is left out: none of its negatives is both wrong enough to teach something
    and right enough not to be an outlier.
    """
    triplets = all_valid(embeddings, pairs, margin, draw)
    distances = _distances(embeddings)
    to_positive = distances[triplets.anchors, triplets.positives]  # (T,)
    to_negative = distances[triplets.anchors, triplets.negatives]  # (T,)
    counts = (to_positive < to_negative) & (to_negative < to_positive + margin)
    return Triplets(*(places[counts] for places in triplets))


def distance_weighted(embeddings: Tensor, pairs: Pairs, margin: float, draw: torch.Generator) -> Triplets:
    """For each pair (a, p) one negative, drawn with weight 1 / q(d(a, n)) (arXiv:1706.07567).

    q(d) = d^(D-2) (1 - d^2/4)^((D-3)/2) is how often a distance d occurs between random points of a unit sphere, so the
    weights make all distances equally likely. As in the paper negatives closer than 0.5 count as 0.5 away and those
    beyond 1.4 are not drawn; an anchor that has no others draws among all its negatives alike.
    """
    positive, negative = pairs
    rows = (positive.any(dim=1) & negative.any(dim=1)).nonzero().flatten()  # (A,)
    positive, negative = positive[rows], negative[rows]  # (A, B)
    if not len(rows):
        return Triplets(rows, rows, rows)
    size = embeddings.shape[1]
    distance = (_distances(embeddings)[rows].double() / SPHERE_RADIUS).clamp(min=0.5)
    log_q = (size - 2) * distance.log() + (size - 3) / 2 * (1 - distance.pow(2) / 4).clamp(min=1e-8).log()
    log_weight = (-log_q).masked_fill(~negative | (distance > 1.4), -math.inf)
    weight = (log_weight - log_weight.amax(dim=1, keepdim=True)).exp()  # nan in a row without a negative to draw
    weight = torch.where(weight.isnan().any(dim=1, keepdim=True), negative.double(), weight)
    places, positives = positive.nonzero().unbind(dim=1)
    counts = positive.sum(dim=1).cpu()  # (A,)
    most = int(counts.max())
    negatives = torch.multinomial(weight.cpu(), most, replacement=True, generator=draw)  # (A, most)
    wanted = torch.arange(most) < counts[:, None]  # as many as the anchor has positives
    return Triplets(rows[places], positives, negatives[wanted].to(embeddings.device))


def _distances(embeddings: Tensor) -> Tensor:
    """(B, D) -> (B, B) without a gradient."""
    return pairwise_distances(embeddings.detach(), embeddings.detach())


# The losses


def triplet_loss(
    embeddings: Tensor, triplets: Triplets, margin: float, kind: str = "margin", mean_over: str = "all"
) -> tuple[Tensor, dict[str, float | None]]:
    """Mean loss of the triplets, and what they looked like. Zero, with a zero gradient, if there are none.

    `kind` margin: max(0, d(a, p) - d(a, n) + margin); soft_margin: ln(1 + exp(d(a, p) - d(a, n))) (arXiv:1703.07737).
    `mean_over` all or active: those with a loss above zero, which for the soft margin are all. `embeddings` is (B, D).

    The diagnostics are fractions of the triplets: active (pushed with at least 1 % of the full force, which for the
    margin loss means a loss above zero), easy (d(a, n) >= d(a, p) + margin), semi-hard (d(a, p) < d(a, n) < that) and
    hard (the rest); and the mean and quantiles (10, 50, 90 %) of the distances to positives and negatives. Without a
    triplet none is active, and all else is None.
    """
    distances = pairwise_distances(embeddings, embeddings).flatten()  # (B * B,)
    rows = triplets.anchors * len(embeddings)
    # index_select, because the gradient of distances[anchors, positives] is added up in an order that varies
    to_positive = distances.index_select(0, rows + triplets.positives)  # (T,)
    to_negative = distances.index_select(0, rows + triplets.negatives)  # (T,)
    excess = to_positive - to_negative  # (T,)
    losses = losses_of(excess, margin, kind)  # (T,)
    force = (losses > 0).float() if kind == "margin" else excess.sigmoid()
    active = (force >= _PUSHED).sum()
    count = active if kind == "margin" and mean_over == "active" else torch.tensor(len(excess))
    loss = losses.sum() / count.clamp(min=1)
    return loss, _diagnostics(to_positive.detach(), to_negative.detach(), margin, active)


def losses_of(excess: Tensor, margin: float, kind: str) -> Tensor:
    """The loss of each triplet, by d(a, p) - d(a, n): (T,) -> (T,). `kind` as in `triplet_loss`."""
    return (excess + margin).clamp(min=0) if kind == "margin" else torch.nn.functional.softplus(excess)


def _diagnostics(to_positive: Tensor, to_negative: Tensor, margin: float, active: Tensor) -> dict[str, float | None]:
    names = ["active_fraction", "easy", "semi_hard", "hard", "positive_distance", "negative_distance"]
    names += [f"{kind}_distance_q{q * 100:.0f}" for kind in ("positive", "negative") for q in _QUANTILES]
    if not len(to_positive):
        return dict.fromkeys(names) | {"active_fraction": 0.0}
    hard = to_negative <= to_positive  # (T,)
    easy = (to_negative >= to_positive + margin) & ~hard  # without a margin equal distances are hard, not easy
    shares = torch.stack([easy, ~easy & ~hard, hard]).float().mean(dim=1)
    some = slice(None, None, -(-len(to_positive) // _LOOKED_AT))
    wanted = torch.tensor(_QUANTILES, device=to_positive.device)
    quantiles = torch.quantile(torch.stack([to_positive[some], to_negative[some]]), wanted, dim=1).T.flatten()
    means = torch.stack([to_positive, to_negative]).mean(dim=1)
    everything = torch.cat([active[None] / len(to_positive), shares, means, quantiles])
    return dict(zip(names, everything.tolist(), strict=True))  # one wait for the device, not twelve


def valid_shares(embeddings: Tensor, pairs: Pairs, margin: float) -> dict[str, float | None]:
    """Fractions of all valid triplets of a batch, mined or not, that are easy, semi-hard and hard.

    The triplets are counted, not made: the negatives of an anchor are sorted once, and each of its positives then finds
    how many are closer. None without a valid triplet.
    """
    names = ("valid_easy", "valid_semi_hard", "valid_hard")
    anchors, positives = pairs.positive.nonzero().unbind(dim=1)  # (T,) each: pairs of an anchor and a positive
    if not len(anchors):
        return dict.fromkeys(names)
    distances = _distances(embeddings)
    negatives = distances.masked_fill(~pairs.negative, math.inf).sort(dim=1).values  # (B, B), the closest first
    count = pairs.positive.sum(dim=1)  # (B,)
    place = torch.arange(len(anchors), device=count.device) - (count.cumsum(dim=0) - count)[anchors]  # (T,) in its row
    to_positive = distances.new_zeros(len(count), int(count.max()))  # (B, most positives): fewer searches than B * B
    to_positive[anchors, place] = distances[anchors, positives]
    hard = torch.searchsorted(negatives, to_positive, right=True)[anchors, place]  # (T,) negatives: d(a, n) <= d(a, p)
    not_easy = torch.searchsorted(negatives, to_positive + margin)[anchors, place].maximum(hard)
    every = pairs.negative.sum(dim=1)[anchors]
    counts = torch.stack([every - not_easy, not_easy - hard, hard]).sum(dim=1)  # (3,)
    if not (total := counts.sum()):
        return dict.fromkeys(names)
    return dict(zip(names, (counts / total).tolist(), strict=True))


def anchors_left_out(triplets: Triplets, count: int) -> int:
    """How many of `count` anchors have no triplet."""
    return count - len(triplets.anchors.unique())


def spread(embeddings: Tensor) -> float:
    """Root of the mean squared distance of the embeddings (B, D) to their mean: 0 if all are one point, at most 10."""
    return embeddings.detach().var(dim=0, correction=0).sum().sqrt().item()


def supervised_contrastive_loss(embeddings: Tensor, pairs: Pairs, temperature: float) -> Tensor:
    """Mean over anchors and their positives of -log(exp(s(a, p) / t) / sum over all k but a of exp(s(a, k) / t)).

    s is the cosine (arXiv:2004.11362, eq. 2); a second copy of the anchor is no k either. Anchors without a positive in
    the batch are left out; zero, with a zero gradient, if that is everyone.
    """
    of_anchor = contrastive_losses(embeddings, pairs, temperature)
    return of_anchor.sum() / pairs.positive.any(dim=1).sum().clamp(min=1)


def contrastive_losses(embeddings: Tensor, pairs: Pairs, temperature: float) -> Tensor:
    """What each anchor adds to the supervised contrastive loss (B,); zero for one without a positive."""
    positive, negative = pairs
    logits = embeddings @ embeddings.T / (SPHERE_RADIUS**2 * temperature)  # (B, B)
    logits = logits.masked_fill(~(positive | negative), -1e9)
    log_probability = logits.log_softmax(dim=1)  # (B, B)
    positives = positive.sum(dim=1)  # (B,)
    return -(log_probability * positive).sum(dim=1) / positives.clamp(min=1)  # (B,)
