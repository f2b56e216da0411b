"""The three predictions against plain loops, scikit-learn and hand-placed points."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from core import classify


def some(count: int, size: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed))


def some_labels(count: int, classes: int) -> torch.Tensor:
    return torch.arange(count).mul(7).remainder(11).remainder(classes)


def vote(query: np.ndarray, gallery: np.ndarray, labels: list[int], k: int) -> tuple[int, float]:
    """kNN of one query as a plain loop."""
    order = sorted(range(len(gallery)), key=lambda image: np.linalg.norm(query - gallery[image]))
    voters = [labels[image] for image in order[:k]]
    most = max(voters.count(label) for label in voters)
    winner = next(label for label in voters if voters.count(label) == most)  # nearest first
    return winner, most / k


# k nearest neighbours


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 8, 40])
def test_knn_against_a_loop(k):
    queries, gallery, labels = some(60), some(40, seed=1), some_labels(40, 4)
    found = classify.knn(queries, gallery, labels, k)
    expected = [vote(query, gallery.numpy(), labels.tolist(), k) for query in queries.numpy()]
    assert found.labels.tolist() == [label for label, _ in expected]
    np.testing.assert_allclose(found.scores, [score for _, score in expected], rtol=1e-6)
    assert k == 40 or len(found.labels.unique()) > 1


@pytest.mark.parametrize("k", [1, 3, 7])
def test_knn_against_scikit_learn(k):
    queries, gallery, labels = some(60), some(40, seed=1), some_labels(40, 2)  # two classes, odd k: no ties
    found = classify.knn(queries, gallery, labels, k)
    second = KNeighborsClassifier(k).fit(gallery, labels)
    np.testing.assert_array_equal(found.labels, second.predict(queries))
    np.testing.assert_allclose(found.scores, second.predict_proba(queries).max(axis=1), rtol=1e-6)


@pytest.mark.parametrize(
    ("labels", "k", "winner", "score"),
    [
        ([2, 0, 1, 1, 0], 1, 2, 1.0),
        ([2, 0, 1, 1, 0], 2, 2, 1 / 2),  # one vote each: the nearest wins
        ([2, 0, 1, 1, 0], 3, 2, 1 / 3),
        ([2, 0, 1, 1, 0], 4, 1, 2 / 4),  # more votes win over the nearest
        ([2, 0, 1, 1, 0], 5, 0, 2 / 5),  # two each for 0 and 1; 0 has the nearer one
        ([0, 2, 2, 1, 1], 5, 2, 2 / 5),
        ([0, 1, 1, 2, 2], 5, 1, 2 / 5),
        ([1, 0, 0, 0, 1], 4, 0, 3 / 4),
    ],
)
def test_votes_and_ties_by_hand(labels, k, winner, score):
    gallery = torch.tensor([[1.0], [-2.0], [3.0], [-4.0], [5.0]])  # nearest first, seen from the query at 0
    for order in (list(range(5)), [3, 1, 4, 0, 2]):  # whatever their order in the gallery
        found = classify.knn(torch.zeros(1, 1), gallery[order], torch.tensor(labels)[order], k)
        assert found.labels.item() == winner
        assert found.scores.item() == pytest.approx(score)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_leave_one_out(k):
    images, labels = some(30), some_labels(30, 3)
    found = classify.knn(images, images, labels, k, leave_one_out=True)
    for index in range(30):
        others = [other for other in range(30) if other != index]
        alone = classify.knn(images[[index]], images[others], labels[others], k)
        assert found.labels[index] == alone.labels[0]
        assert found.scores[index] == alone.scores[0]
    assert (classify.knn(images, images, labels, 1).labels == labels).all()  # with its own vote, everyone knows


@pytest.mark.parametrize("at_once", [1, 7, 29, 30, 31])
@pytest.mark.parametrize("leave_one_out", [False, True])
def test_queries_in_parts(monkeypatch, at_once, leave_one_out):
    images, labels = some(30), some_labels(30, 3)
    whole = classify.knn(images, images, labels, 4, leave_one_out)
    monkeypatch.setattr(classify, "_QUERIES_AT_ONCE", at_once)
    parts = classify.knn(images, images, labels, 4, leave_one_out)
    assert torch.equal(parts.labels, whole.labels)
    assert torch.equal(parts.scores, whole.scores)


def test_more_neighbours_than_images():
    images, labels = some(5), some_labels(5, 2)
    assert len(classify.knn(images, images, labels, 5).labels) == 5
    with pytest.raises(ValueError, match=r"6 neighbours .* 5 training images; use 5 or fewer"):
        classify.knn(images, images, labels, 6)
    with pytest.raises(ValueError, match=r"5 neighbours .* 4 training images; use 4 or fewer"):
        classify.knn(images, images, labels, 5, leave_one_out=True)


# Class centres


def test_centre_against_a_loop():
    queries, gallery, labels = some(50), some(40, seed=1), some_labels(40, 4)
    found = classify.centre(queries, gallery, labels)
    representatives = []
    for label in range(4):
        members = [image for image, its in zip(gallery.double().numpy(), labels.tolist(), strict=True) if its == label]
        mean = sum(members) / len(members)
        representatives.append(min(members, key=lambda member: np.linalg.norm(member - mean)))
    for index, query in enumerate(queries.double().numpy()):
        distances = np.array([np.linalg.norm(query - representative) for representative in representatives])
        assert found.labels[index] == distances.argmin()
        assert found.scores[index] == pytest.approx(np.exp(-distances.min()) / np.exp(-distances).sum(), rel=1e-4)


def test_the_centre_is_an_image_and_not_the_mean():
    gallery = torch.tensor([[-4.0, 0.0], [4.0, 0.0], [1.0, 5.0], [0.0, 3.0]])  # class 0 has its mean at (1/3, 5/3)
    labels = torch.tensor([0, 0, 0, 1])
    found = classify.centre(torch.tensor([[0.3, 1.6], [1.0, 4.9]]), gallery, labels)  # the first one is at that mean
    assert found.labels.tolist() == [1, 0]


# Softmax


def test_softmax():
    logits = torch.tensor([[0.0, 1.0, 2.0], [5.0, 5.0, -5.0], [1000.0, 0.0, 0.0]])
    found = classify.softmax(logits)
    assert found.labels.tolist() == [2, 0, 0]
    expected = [np.exp(2) / (1 + np.exp(1) + np.exp(2)), 1 / (2 + np.exp(-10)), 1.0]
    np.testing.assert_allclose(found.scores, expected, rtol=1e-6)
    assert classify.softmax(logits.bfloat16()).scores.dtype == torch.float32
