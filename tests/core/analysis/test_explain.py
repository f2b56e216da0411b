"""Why an image was called what it was: every number against a loop over all images, removals against every subset."""

from itertools import combinations

import numpy as np
import pytest

from core.analysis import explain

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def one_thread():
    import torch

    torch.set_num_threads(1)


def vote(labels: list[int], k: int) -> int:
    """The rule in plain words: most votes among the first k, of equals the one with the nearest image."""
    first = list(labels[:k])
    return max(dict.fromkeys(first), key=lambda label: (first.count(label), -first.index(label)))


def fewest_by_search(labels: list[int], true: int, k: int) -> int | None:
    for size in range(len(labels) - k + 1):
        for gone in combinations(range(len(labels)), size):
            if vote([label for place, label in enumerate(labels) if place not in gone], k) == true:
                return size
    return None


@pytest.mark.parametrize("seed", range(150))
def test_no_smaller_set_turns_it_right(seed):
    draw = np.random.default_rng(seed)
    count, k = int(draw.integers(3, 11)), int(draw.integers(1, 6))
    k = min(k, count)
    labels = draw.integers(0, int(draw.integers(2, 5)), count)
    found = explain.fewest_removals(labels, 0, k)
    expected = fewest_by_search(labels.tolist(), 0, k)
    if expected is None:
        assert found is None
    else:
        assert len(found) == expected == len(set(found))
        assert vote(np.delete(labels, found).tolist(), k) == 0


def test_right_already_needs_nothing_and_a_missing_class_cannot_be_had():
    assert explain.fewest_removals(np.array([1, 1, 0]), 1, 3) == []
    assert explain.fewest_removals(np.array([1, 1, 0]), 2, 3) is None
    assert explain.fewest_removals(np.array([1, 1, 0]), 0, 3) is None  # none may be taken: three have to vote


def case(seed: int):
    draw = np.random.default_rng(seed)
    gallery = draw.normal(size=(40, 3)).astype(np.float16).astype(np.float32)
    labels = draw.integers(0, 4, 40)
    return draw.normal(size=3).astype(np.float16).astype(np.float32), gallery, labels


def explained(seed: int, true: int = 2, k: int = 5, **options) -> explain.Why:
    query, gallery, labels = case(seed)
    options = {"own_rule": "knn", "stored": 3, "own_k": 5} | options
    return explain.why(query, gallery, labels, true, k, **options)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("k", [1, 4, 7])
def test_all_facts_against_a_loop(seed, k):
    query, gallery, labels = case(seed)
    found = explained(seed, k=k)
    far = [float(np.linalg.norm(query.astype(float) - each.astype(float))) for each in gallery]
    order = sorted(range(40), key=lambda row: far[row])
    assert [row for row, _, _ in found.voters] == order[:k]
    assert [label for _, label, _ in found.voters] == labels[order[:k]].tolist()
    assert [distance for _, _, distance in found.voters] == pytest.approx([far[row] for row in order[:k]])
    assert found.rules["knn"] == found.predicted == vote(labels[order].tolist(), k)
    for wanted, neighbour in ((2, found.nearest_true), (found.predicted, found.nearest_predicted)):
        nearest = min((row for row in range(40) if labels[row] == wanted), key=lambda row: far[row])
        assert neighbour == (nearest, pytest.approx(far[nearest]))
    other = min((row for row in range(40) if labels[row] != 2), key=lambda row: far[row])
    assert found.nearest_other == (other, pytest.approx(far[other]))
    assert found.margin == pytest.approx(found.nearest_predicted[1] - found.nearest_true[1])
    assert found.first_true_rank == 1 + [labels[row] == 2 for row in order].index(True)
    assert found.rules["softmax"] is None


@pytest.mark.parametrize("seed", range(6))
def test_centres_and_means_against_a_loop(seed):
    query, gallery, labels = case(seed)
    found = explained(seed)
    means = {label: gallery[labels == label].astype(float).mean(axis=0) for label in range(4)}
    to_centre = {}
    for label, mean in means.items():
        members = np.flatnonzero(labels == label)
        chosen = min(members, key=lambda row: np.linalg.norm(gallery[row] - mean))
        to_centre[label] = np.linalg.norm(query.astype(float) - gallery[chosen].astype(float))
    assert found.centre_distances == pytest.approx(to_centre)
    assert found.rules["centre"] == min(to_centre, key=to_centre.get)
    assert found.rules["mean"] == min(means, key=lambda label: np.linalg.norm(query - means[label]))


def test_without_some_voters_the_next_ones_vote():
    before = explained(3)
    gone = [row for row, _, _ in before.voters[:2]]
    after = explained(3, without=gone)
    assert [row for row, _, _ in after.voters[:3]] == [row for row, _, _ in before.voters[2:]]
    assert not {row for row, _, _ in after.voters} & set(gone)


@pytest.mark.parametrize("k", [1, 7, 40])
def test_voters_against_a_loop(k):
    query, gallery, labels = case(2)
    away = [float(np.linalg.norm(query.astype(float) - each)) for each in gallery.astype(float)]
    nearest = sorted(range(40), key=lambda row: away[row])[:k]
    found = explain.voters(query, gallery, labels, k)
    assert [each[:2] for each in found] == [(row, labels[row]) for row in nearest]
    assert [each[2] for each in found] == pytest.approx([away[row] for row in nearest])


def test_the_removals_turn_the_whole_rule_right():
    for seed in range(12):
        found = explained(seed, k=4)
        after = explained(seed, k=4, without=found.removals)
        assert after.rules["knn"] == after.predicted == 2


def test_without_a_whole_class():
    _, _, labels = case(0)
    found = explained(0, without=np.flatnonzero(labels == 2).tolist())
    assert found.nearest_true is found.first_true_rank is found.removals is found.margin is None
    assert 2 not in found.centre_distances
    assert explain.sentence(found, "abcd").startswith("Called ")


def test_what_the_run_said_holds_until_k_or_the_gallery_changes():
    assert explained(1, stored=0).predicted == 0  # rounded embeddings may say otherwise
    assert explained(1, stored=0).rules["knn"] == 0
    assert explained(1, stored=0, k=4).predicted == explained(1, stored=3, k=4).predicted
    softmax = explained(1, stored=0, k=4, own_rule="softmax")
    assert softmax.predicted == softmax.rules["softmax"] == 0
    assert explained(1, stored=0, k=4, own_rule="centre").rules["centre"] == 0


def test_too_many_neighbours_are_refused():
    with pytest.raises(ValueError, match="41 neighbours cannot vote among 40"):
        explained(0, k=41)
    with pytest.raises(ValueError, match="softmax needs logits"):
        explain.predict(*case(0), "softmax", 3)


def why(true: int, votes: list[int], d_true: float, d_predicted: float, predicted: int = 1) -> explain.Why:
    voters = [(row, label, 1.0) for row, label in enumerate(votes)]
    return explain.Why(true, predicted, {}, (0, d_true), (1, d_predicted), (1, d_predicted), voters, 1, {}, [])


def test_sentences():
    wrong = why(0, [1, 1, 0, 1, 1], 4.77, 2.33)
    assert explain.sentence(wrong, "27") == (
        "Called 7: of its 5 nearest training images four are 7s; the nearest 2 is 2.44 farther than the nearest 7."
    )
    assert explain.sentence(why(1, [1, 1, 1], 1, 1), "27") == (
        "Called 7, rightly: of its 3 nearest training images all are 7s."
    )
    assert explain.sentence(why(0, [1], 1, 3), ["cap", "shoe"]) == (
        "Called shoe: of its nearest training image one is of class shoe; "
        "the nearest cap is 2.00 nearer than the nearest shoe."
    )
