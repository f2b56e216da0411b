"""The predictions against plain loops, scikit-learn and hand-placed points."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from core.analysis import classify, neighbours
from core.networks.build import Outputs
from core.settings.choices import CLASSIFIERS

pytestmark = pytest.mark.usefixtures("one_thread")


def some(count: int, size: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed))


def some_labels(count: int, classes: int) -> torch.Tensor:
    return torch.arange(count).mul(7).remainder(11).remainder(classes)


def vote(query: np.ndarray, gallery: np.ndarray, labels: list[int], k: int, weighted=False) -> tuple[int, float]:
    """kNN of one query as a plain loop."""
    apart = [float(np.linalg.norm(query - image)) for image in gallery]
    order = sorted(range(len(gallery)), key=lambda image: apart[image])[:k]
    votes = dict.fromkeys((labels[image] for image in order), 0.0)  # nearest first
    same = any(apart[image] == 0 for image in order)
    for image in order:
        if weighted:
            votes[labels[image]] += (apart[image] == 0) if same else 1 / apart[image]
        else:
            votes[labels[image]] += 1
    winner = max(votes, key=votes.get)  # of equal ones the first, which is the one with the nearest image
    return winner, votes[winner] / sum(votes.values())


# k nearest neighbours


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 8, 40])
def test_knn_against_a_loop(k, weighted):
    queries, gallery, labels = some(60), some(40, seed=1), some_labels(40, 4)
    queries[:3] = gallery[:3]  # at distance zero
    found = classify.knn(queries, gallery, labels, k, weighted=weighted)
    expected = [vote(query, gallery.numpy(), labels.tolist(), k, weighted) for query in queries.numpy()]
    assert found.labels.tolist() == [label for label, _ in expected]
    np.testing.assert_allclose(found.scores, [score for _, score in expected], rtol=1e-5)
    assert k == 40 or len(found.labels.unique()) > 1


@pytest.mark.parametrize("k", [1, 3, 7])
def test_knn_against_scikit_learn(k):
    queries, gallery, labels = some(60), some(40, seed=1), some_labels(40, 2)  # two classes, odd k: no ties
    found = classify.knn(queries, gallery, labels, k)
    second = KNeighborsClassifier(k, weights="uniform").fit(gallery, labels)
    np.testing.assert_array_equal(found.labels, second.predict(queries))
    np.testing.assert_allclose(found.scores, second.predict_proba(queries).max(axis=1), rtol=1e-6)


@pytest.mark.parametrize("k", [1, 2, 5, 20])
def test_weighted_knn_against_scikit_learn(k):
    queries, gallery, labels = some(60), some(40, seed=1), some_labels(40, 4)
    gallery[7] = gallery[8] = gallery[9]  # three images of a class at one place, whichever of them is among the k
    labels[7] = labels[8] = labels[9]
    queries[:10] = gallery[:10]
    found = classify.knn(queries, gallery, labels, k, weighted=True)
    second = KNeighborsClassifier(k, weights="distance").fit(gallery, labels)
    probability = second.predict_proba(queries)
    np.testing.assert_array_equal(found.labels, second.predict(queries))
    np.testing.assert_allclose(found.scores, probability.max(axis=1), rtol=1e-4)


def test_weighted_votes_by_hand():
    gallery, labels = torch.tensor([[1.0], [-2.0], [2.0], [-4.0], [8.0]]), torch.tensor([2, 0, 0, 1, 1])
    for k, winner, score in (
        (1, 2, 1.0),
        (2, 2, 1 / 1.5),
        (3, 2, 1 / 2),  # 1 against 1/2 + 1/2: the one with the nearest image
        (5, 2, 1 / 2.375),
    ):
        found = classify.knn(torch.zeros(1, 1), gallery, labels, k, weighted=True)
        assert found.labels.item() == winner
        assert found.scores.item() == pytest.approx(score)
    # An image at distance zero decides alone; two of them have a vote each
    assert classify.knn(gallery[[3]], gallery, labels, 5, weighted=True) == (torch.tensor([1]), torch.tensor([1.0]))
    twice, named = torch.tensor([[0.0], [0.0], [0.0], [0.1]]), torch.tensor([0, 1, 1, 0])
    found = classify.knn(torch.zeros(1, 1), twice, named, 4, weighted=True)
    assert found.labels.item() == 1
    assert found.scores.item() == pytest.approx(2 / 3)


def test_the_weighted_vote_can_differ_from_the_plain_one():
    gallery, labels = torch.tensor([[0.1], [1.0], [-1.0]]), torch.tensor([0, 1, 1])
    assert classify.knn(torch.zeros(1, 1), gallery, labels, 3).labels.item() == 1
    assert classify.knn(torch.zeros(1, 1), gallery, labels, 3, weighted=True).labels.item() == 0


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


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_leave_one_out(k, weighted):
    images, labels = some(30), some_labels(30, 3)
    images[4], labels[4] = images[5], labels[5]  # a twin may vote
    found = classify.knn(images, images, labels, k, weighted=weighted, leave_one_out=True)
    for index in range(30):
        others = [other for other in range(30) if other != index]
        alone = classify.knn(images[[index]], images[others], labels[others], k, weighted=weighted)
        assert found.labels[index] == alone.labels[0]
        assert found.scores[index] == alone.scores[0]
    assert (classify.knn(images, images, labels, 1).labels == labels).all()  # with its own vote, everyone knows


@pytest.mark.parametrize("at_once", [1, 7, 29, 30, 31])
@pytest.mark.parametrize("options", [dict(), dict(leave_one_out=True), dict(leave_one_out=True, weighted=True)])
def test_queries_in_parts(monkeypatch, at_once, options):
    images, labels = some(30), some_labels(30, 3)
    whole = classify.knn(images, images, labels, 4, **options)
    monkeypatch.setattr(neighbours, "_MEASURED_AT_ONCE", at_once)
    parts = classify.knn(images, images, labels, 4, **options)
    assert torch.equal(parts.labels, whole.labels)
    assert torch.equal(parts.scores, whole.scores)


def test_more_neighbours_than_images():
    images, labels = some(5), some_labels(5, 2)
    assert len(classify.knn(images, images, labels, 5).labels) == 5
    with pytest.raises(ValueError, match=r"6 neighbours .* 5 training images; use 5 or fewer"):
        classify.knn(images, images, labels, 6)
    with pytest.raises(ValueError, match=r"5 neighbours .* 4 training images; use 4 or fewer"):
        classify.knn(images, images, labels, 5, leave_one_out=True)


# Class centres and means


def test_means_and_representatives_against_loops():
    gallery, labels = some(40, seed=1), some_labels(40, 4)
    means, chosen = classify.class_means(gallery, labels), classify.representatives(gallery, labels)
    assert (means.shape, chosen.shape) == ((4, 3), (4,))
    for label in range(4):
        members = [place for place in range(40) if labels[place] == label]
        mean = sum(gallery[place].double() for place in members) / len(members)
        np.testing.assert_allclose(means[label], mean, rtol=1e-5, atol=1e-6)
        assert chosen[label] == min(members, key=lambda place, mean=mean: (gallery[place] - mean).norm().item())


def test_a_representative_is_of_its_class():
    gallery, labels = torch.tensor([[-3.0], [4.5], [0.75], [9.0]]), torch.tensor([0, 0, 1, 1])
    assert classify.class_means(gallery, labels).flatten().tolist() == [0.75, 4.875]  # at an image of class 1; near 4.5
    assert classify.representatives(gallery, labels).tolist() == [0, 2]  # of two equally near ones the first


@pytest.mark.parametrize("classes", [2, 5])
def test_nearest_mean_against_scikit_learn(classes):
    queries, gallery, labels = some(80), some(40, seed=1), some_labels(40, classes)
    gallery += labels[:, None]
    found = classify.nearest_mean(queries, gallery, labels)
    second = NearestCentroid().fit(gallery, labels)
    np.testing.assert_array_equal(found.labels, second.predict(queries))
    distances = np.linalg.norm(queries.numpy()[:, None] - second.centroids_[None], axis=2)
    shares = np.exp(-distances) / np.exp(-distances).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.scores, shares.max(axis=1), rtol=1e-5)
    assert len(found.labels.unique()) > 1


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


@pytest.mark.parametrize("rule", [classify.centre, classify.nearest_mean])
@pytest.mark.parametrize("classes", [2, 5])
def test_no_image_has_a_say_in_its_own_class(rule, classes):
    """Against a loop that takes each image out of the gallery before it is asked."""
    gallery, labels = some(40), some_labels(40, classes)
    found = rule(gallery, gallery, labels, leave_one_out=True)
    for image in range(len(gallery)):
        others = torch.arange(len(gallery)) != image
        alone = rule(gallery[image : image + 1], gallery[others], labels[others])
        assert found.labels[image] == alone.labels[0]
        torch.testing.assert_close(found.scores[image], alone.scores[0])
    assert not torch.equal(found.scores, rule(gallery, gallery, labels).scores)


@pytest.mark.parametrize("rule", [classify.centre, classify.nearest_mean])
def test_the_only_image_of_a_class_is_not_found(rule):
    """It was 100 % right: each image was its own centre."""
    labels = torch.arange(6)
    found = rule(some(6), some(6), labels, leave_one_out=True)
    assert not (found.labels == labels).any()
    assert found.scores.isfinite().all()


# Softmax


def test_softmax():
    logits = torch.tensor([[0.0, 1.0, 2.0], [5.0, 5.0, -5.0], [1000.0, 0.0, 0.0]])
    found = classify.softmax(logits)
    assert found.labels.tolist() == [2, 0, 0]
    expected = [np.exp(2) / (1 + np.exp(1) + np.exp(2)), 1 / (2 + np.exp(-10)), 1.0]
    np.testing.assert_allclose(found.scores, expected, rtol=1e-6)
    assert classify.softmax(logits.bfloat16()).scores.dtype == torch.float32


# By name


@pytest.mark.parametrize("leave_one_out", [False, True])
@pytest.mark.parametrize("rule", CLASSIFIERS)
def test_predict_takes_the_rule_of_the_name(rule, leave_one_out):
    outputs, gallery, labels = Outputs(some(20), some(20, 4, seed=2)), some(20), some_labels(20, 4)
    found = classify.predict(rule, outputs, gallery, labels, 3, leave_one_out=leave_one_out)
    expected = {
        "softmax": lambda: classify.softmax(outputs.logits),
        "knn": lambda: classify.knn(outputs.embeddings, gallery, labels, 3, leave_one_out=leave_one_out),
        "knn_weighted": lambda: classify.knn(
            outputs.embeddings, gallery, labels, 3, weighted=True, leave_one_out=leave_one_out
        ),
        "centre": lambda: classify.centre(outputs.embeddings, gallery, labels, leave_one_out=leave_one_out),
        "nearest_mean": lambda: classify.nearest_mean(outputs.embeddings, gallery, labels, leave_one_out=leave_one_out),
    }[rule]()
    assert torch.equal(found.labels, expected.labels)
    assert torch.equal(found.scores, expected.scores)


@pytest.mark.parametrize("rule", CLASSIFIERS)
@pytest.mark.parametrize("scale", [1e-4, 1.0, 10.0])
def test_scores_are_fractions(rule, scale):
    queries, gallery, labels = scale * some(300), scale * some(60, seed=1), some_labels(60, 7)
    queries[:20] = gallery[:20]
    outputs = Outputs(queries, scale * some(300, 7, seed=2))
    found = classify.predict(rule, outputs, gallery, labels, 7)
    assert found.labels.dtype == torch.int64
    assert (found.scores >= 1 / 7 - 1e-6).all()  # the winner has at least the share of chance
    assert (found.scores <= 1).all()
