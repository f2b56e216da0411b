"""Embeddings of all images; accuracy, confusion matrix and retrieval against plain loops; a whole evaluation."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix

from core.analysis import classify, metrics
from core.learning import evaluate, objectives, sampling
from core.learning.evaluate import LabelledImages
from core.learning.machine import Machine
from core.networks import build
from core.settings.choices import CLASSIFIERS
from core.settings.config import RunConfig

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = Machine("cpu", "float32", 1)
TINY = RunConfig(blocks=(1,), width=8, embedding_size=6, neighbours=3)
CLASSIFIER = TINY.changed(objective="cross_entropy")


def pictures(labels: list[int], seed: int = 0) -> LabelledImages:
    """Noise over a grey that hints at the class, so that a network that has learnt nothing is right now and then."""
    labels = torch.tensor(labels)
    draw = torch.Generator().manual_seed(seed)
    noise = torch.randint(100, (len(labels), 28, 28), generator=draw)
    grey = 30 * labels + torch.randint(90, (len(labels),), generator=draw)
    return LabelledImages((noise + grey[:, None, None]).to(torch.uint8), labels, tuple(range(3)))


TRAIN, TEST = pictures([0, 1, 2] * 6), pictures([2, 0, 0, 1, 2, 1, 0, 1, 2, 0, 1], seed=1)
NONE_HELD = torch.zeros(18, dtype=torch.bool)
HELD = torch.zeros(18, dtype=torch.bool)
HELD[[0, 4, 5, 9, 13, 17]] = True  # two of each class


def network(config: RunConfig, seed: int = 0) -> build.Network:
    """Fresh weights; two batches have passed, so that batch norm's statistics are no longer 0 and 1."""
    torch.manual_seed(seed)
    made = build.build(config, class_count=3)
    with torch.no_grad():
        for _ in range(2):
            made(build.prepare(TRAIN.images, config.channels, config.image_size))
    return made


# Embeddings


@pytest.mark.parametrize("config", [TINY, CLASSIFIER])
@pytest.mark.parametrize("at_once", [1, 4, 18, 19])
def test_embeddings_do_not_depend_on_the_batches(monkeypatch, config, at_once):
    made = network(config)
    with torch.no_grad():
        expected = made.eval()(build.prepare(TRAIN.images, config.channels, config.image_size))
    monkeypatch.setitem(evaluate._IMAGES_AT_ONCE, "cpu", at_once)
    embeddings, logits = evaluate.embed_all(made, TRAIN.images, config, CPU)
    assert embeddings.dtype == torch.float32
    torch.testing.assert_close(embeddings, expected.embeddings, rtol=1e-3, atol=1e-6)  # float16: 11 bits
    if config is CLASSIFIER:
        torch.testing.assert_close(logits, expected.logits)
    else:
        assert logits is None


def test_embeddings_are_what_float16_can_hold():
    made = network(TINY)
    embeddings = evaluate.embed_all(made, TRAIN.images, TINY, CPU).embeddings
    assert torch.equal(embeddings, torch.from_numpy(embeddings.numpy().astype(np.float16).astype(np.float32)))
    with torch.no_grad():
        assert not torch.equal(embeddings, made.embed(build.prepare(TRAIN.images, 3, 32)))


def test_the_network_is_left_as_it_was():
    made = network(CLASSIFIER).train()
    before = {name: values.clone() for name, values in made.state_dict().items()}
    outputs = evaluate.embed_all(made, TRAIN.images, TINY, CPU)
    assert all(torch.equal(values, before[name]) for name, values in made.state_dict().items())
    assert all(weights.grad is None for weights in made.parameters())
    assert not any(each.is_inference() or each.requires_grad for each in outputs)  # usable in any computation


def test_bfloat16_is_used_where_it_was_chosen():
    made = network(CLASSIFIER)
    exact = evaluate.embed_all(made, TRAIN.images, TINY, CPU)
    rough = evaluate.embed_all(made, TRAIN.images, TINY, Machine("cpu", "bfloat16", 1))
    assert rough.logits.dtype == torch.float32
    assert not torch.equal(rough.logits, exact.logits)
    torch.testing.assert_close(rough.embeddings, exact.embeddings, atol=0.3, rtol=0)


# Counting


def test_accuracy():
    assert metrics.accuracy(torch.tensor([0, 1, 2, 2]), torch.tensor([0, 2, 2, 1])) == 0.5
    assert metrics.accuracy(torch.tensor([1, 1, 0]), torch.tensor([1, 1, 1])) == 2 / 3  # in double precision


def test_confusion_matrix():
    draw = torch.Generator().manual_seed(0)
    true, predicted = torch.randint(4, (2, 200), generator=draw)  # class 4 never occurs
    found = metrics.confusion_matrix(predicted, true, class_count=5)
    np.testing.assert_array_equal(found, confusion_matrix(true, predicted, labels=range(5)))
    by_hand = metrics.confusion_matrix(torch.tensor([1, 1]), torch.tensor([0, 0]), class_count=2)
    assert by_hand.tolist() == [[0, 2], [0, 0]]  # row = true, column = predicted


def test_per_class():
    confusion = torch.tensor([[3, 1, 0], [0, 0, 0], [2, 2, 1]])
    assert metrics.per_class(confusion) == [3 / 4, None, 1 / 5]
    draw = torch.Generator().manual_seed(0)
    true, predicted = torch.randint(4, (2, 200), generator=draw)
    found = metrics.per_class(metrics.confusion_matrix(predicted, true, class_count=4))
    expected = [float((predicted[true == label] == label).double().mean()) for label in range(4)]
    assert found == pytest.approx(expected)


# Retrieval


def loop_retrieval(queries, labels, gallery, gallery_labels) -> tuple[float, float, float]:
    """Precision@1, R-precision and MAP@R from their definitions in arXiv:2003.08505."""
    first, r_precision, mean_average = [], [], []
    gallery = gallery.numpy()
    for query, label in zip(queries.numpy(), labels.tolist(), strict=True):
        order = sorted(range(len(gallery)), key=lambda image: np.linalg.norm(query - gallery[image]))
        relevant = [gallery_labels[image].item() == label for image in order]
        size = gallery_labels.tolist().count(label)  # R
        first.append(float(relevant[0]))
        r_precision.append(sum(relevant[:size]) / size)
        mean_average.append(sum(sum(relevant[:i]) / i for i in range(1, size + 1) if relevant[i - 1]) / size)
    return tuple(float(np.mean(values)) for values in (first, r_precision, mean_average))


@pytest.mark.parametrize("sizes", [[8, 8, 8], [1, 9, 3], [2, 1, 20, 1]])
def test_retrieval_against_a_loop(sizes):
    draw = torch.Generator().manual_seed(0)
    gallery_labels = torch.tensor([label for label, size in enumerate(sizes) for _ in range(size)])
    gallery_labels = gallery_labels[torch.randperm(len(gallery_labels), generator=draw)]
    gallery = torch.randn(len(gallery_labels), 3, generator=draw) + gallery_labels[:, None]
    labels = torch.arange(50) % len(sizes)
    queries = torch.randn(50, 3, generator=draw) + labels[:, None]
    found = metrics.retrieval(queries, labels, gallery, gallery_labels)
    expected = loop_retrieval(queries, labels, gallery, gallery_labels)
    assert dataclasses.astuple(found) == pytest.approx(expected, rel=1e-6)
    assert 0 < found.map_at_r < found.r_precision < 1


def test_retrieval_by_hand():
    gallery = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    found = metrics.retrieval(torch.tensor([[0.0]]), torch.tensor([0]), gallery, torch.tensor([0, 1, 0, 1]))
    assert dataclasses.astuple(found) == (1.0, 0.5, 0.5)  # R = 2: right, wrong
    found = metrics.retrieval(torch.tensor([[0.0]]), torch.tensor([1]), gallery, torch.tensor([0, 1, 0, 1]))
    assert dataclasses.astuple(found) == (0.0, 0.5, 0.25)  # wrong, right with a precision@2 of 1/2
    found = metrics.retrieval(torch.tensor([[0.0]]), torch.tensor([1]), gallery, torch.tensor([0, 1, 0, 0]))
    assert dataclasses.astuple(found) == (0.0, 0.0, 0.0)  # R = 1: the second one is not looked at
    found = metrics.retrieval(torch.tensor([[9.0]]), torch.tensor([1]), gallery, torch.tensor([0, 0, 1, 1]))
    assert dataclasses.astuple(found) == (1.0, 1.0, 1.0)


def test_retrieval_of_many_queries():
    draw = torch.Generator().manual_seed(0)
    gallery, gallery_labels = torch.randn(9, 2, generator=draw), torch.arange(9) % 3
    queries, labels = torch.randn(1003, 2, generator=draw), torch.arange(1003) % 3
    found = metrics.retrieval(queries, labels, gallery, gallery_labels)
    expected = loop_retrieval(queries, labels, gallery, gallery_labels)
    assert dataclasses.astuple(found) == pytest.approx(expected, rel=1e-6)


# One evaluation


def test_evaluation_of_a_classifier():
    made = network(CLASSIFIER)
    found = evaluate.evaluate(made, TRAIN, NONE_HELD, TEST, CLASSIFIER, CPU)
    known = evaluate.embed_all(made, TRAIN.images, TINY, CPU)
    asked = evaluate.embed_all(made, TEST.images, TINY, CPU)
    assert torch.equal(found.train_embeddings, known.embeddings)
    assert torch.equal(found.test_embeddings, asked.embeddings)
    logits = asked.logits.double().numpy()
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert found.test_prediction.labels.tolist() == probabilities.argmax(axis=1).tolist()
    np.testing.assert_allclose(found.test_prediction.scores, probabilities.max(axis=1), rtol=1e-5)
    assert found.test_accuracy == np.mean(probabilities.argmax(axis=1) == TEST.labels.numpy())
    assert found.train_accuracy == np.mean(known.logits.argmax(dim=1).numpy() == TRAIN.labels.numpy())
    expected = -np.log(probabilities[np.arange(len(logits)), TEST.labels]).mean()
    assert found.test_loss == pytest.approx(expected, rel=1e-5)


def knn_accuracy(queries, labels, gallery, gallery_labels, k: int, own_vote: bool = True) -> float:
    """Fraction that is right by a plain loop."""
    right = 0
    for index, query in enumerate(queries):
        order = np.argsort(np.linalg.norm(gallery - query, axis=1), kind="stable").tolist()
        if not own_vote:
            order.remove(index)
        votes = [int(gallery_labels[image]) for image in order[:k]]
        most = max(map(votes.count, votes))
        right += next(label for label in votes if votes.count(label) == most) == labels[index]
    return right / len(queries)


@pytest.mark.parametrize("k", [1, 4])
def test_evaluation_of_a_metric_learner(k):
    config = TINY.changed(neighbours=k, margin=6.0)
    found = evaluate.evaluate(network(config), TRAIN, NONE_HELD, TEST, config, CPU)
    train_embeddings, test_embeddings = found.train_embeddings.numpy(), found.test_embeddings.numpy()
    train_labels, test_labels = TRAIN.labels.numpy(), TEST.labels.numpy()
    expected = knn_accuracy(train_embeddings, train_labels, train_embeddings, train_labels, k, own_vote=False)
    assert found.train_accuracy == pytest.approx(expected)
    assert found.train_accuracy < 1  # k = 1 with its own vote would be 1
    expected = knn_accuracy(test_embeddings, test_labels, train_embeddings, train_labels, k)
    assert found.test_accuracy == pytest.approx(expected)
    assert found.test_accuracy == metrics.accuracy(found.test_prediction.labels, TEST.labels)

    triplets = sampling.random_triplets(TEST.labels, len(TEST.labels), sampling.generator(config.seed, "test"))
    losses = []
    for anchor, positive, negative in test_embeddings[triplets.numpy()]:
        losses.append(max(0.0, np.linalg.norm(anchor - positive) - np.linalg.norm(anchor - negative) + 6.0))
    assert found.test_loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert found.test_loss > 0


def test_one_test_image_a_class_gives_no_triplet_loss():
    lonely = pictures([0, 1, 2], seed=2)
    found = evaluate.evaluate(network(TINY), TRAIN, NONE_HELD, lonely, TINY, CPU)
    assert found.test_loss is None
    assert 0 <= found.test_accuracy <= 1
    assert evaluate.evaluate(network(CLASSIFIER), TRAIN, NONE_HELD, lonely, CLASSIFIER, CPU).test_loss > 0


# Images learnt from, and those kept for validation


def test_without_validation_images_there_are_no_validation_numbers():
    for config in (TINY, CLASSIFIER):
        found = evaluate.evaluate(network(config), TRAIN, NONE_HELD, TEST, config, CPU)
        assert found.validation_accuracy is None
        assert found.validation_loss is None
        assert found.train_confusion.sum() == 18


@pytest.mark.parametrize("rule", CLASSIFIERS)
def test_every_image_is_asked_with_its_own_gallery(rule):
    config = CLASSIFIER.changed(classifier=rule)
    made = network(config)
    found = evaluate.evaluate(made, TRAIN, HELD, TEST, config, CPU)
    known, asked = (evaluate.embed_all(made, each.images, TINY, CPU) for each in (TRAIN, TEST))
    learnt, kept = (
        build.Outputs(known.embeddings[which], known.logits[which]) for which in ((~HELD).nonzero()[:, 0], HELD)
    )
    labels, kept_labels = TRAIN.labels[~HELD], TRAIN.labels[HELD]

    def predicted(outputs, gallery, gallery_labels, **options):
        return classify.predict(rule, outputs, gallery, gallery_labels, 3, **options).labels

    of_train = predicted(learnt, learnt.embeddings, labels, leave_one_out=True)
    assert found.train_accuracy == pytest.approx((of_train == labels).float().mean().item())
    np.testing.assert_array_equal(found.train_confusion, confusion_matrix(labels, of_train))
    assert found.train_confusion.sum() == 12
    of_kept = predicted(kept, learnt.embeddings, labels)  # no validation image has a say in it
    assert found.validation_accuracy == pytest.approx((of_kept == kept_labels).float().mean().item())
    of_test = predicted(asked, known.embeddings, TRAIN.labels)  # all training images have
    assert torch.equal(found.test_prediction.labels, of_test)
    assert found.test_accuracy == pytest.approx((of_test == TEST.labels).float().mean().item())
    assert len(found.train_embeddings) == 18  # those kept for validation, too


@pytest.mark.parametrize("config", [TINY.changed(margin=6.0), CLASSIFIER])
def test_validation_loss_is_that_of_the_images_kept(config):
    made = network(config)
    found = evaluate.evaluate(made, TRAIN, HELD, TEST, config, CPU)
    kept = evaluate.embed_all(made, TRAIN.images[HELD], TINY, CPU)
    expected = objectives.held_back_loss(kept, TRAIN.labels[HELD], config)
    assert found.validation_loss == pytest.approx(expected, rel=1e-4)
    assert found.validation_loss > 0
    assert found.test_loss == evaluate.evaluate(made, TRAIN, NONE_HELD, TEST, config, CPU).test_loss


def test_the_confusion_has_a_row_for_every_class_of_the_training_images():
    """Also where none is left to be predicted; pairs of classes are drawn from it (core/learning/sampling.py)."""
    found = evaluate.evaluate(network(TINY), TRAIN, NONE_HELD, pictures([0, 0, 1], seed=3), TINY, CPU)
    assert found.train_confusion.shape == (3, 3)
    assert found.train_confusion.sum(dim=1).tolist() == [6, 6, 6]
    assert found.train_confusion.dtype == torch.int64
