"""What a set of training images can give, and settings that are taken and have no effect."""

import pytest

from core.settings import rules
from core.settings.config import RunConfig
from tests.core.settings.fields import CHOSEN, error_of, sizes


@pytest.mark.parametrize(
    "values",
    [
        dict(patience=5, validation_share=0.1),
        dict(decay_every=5),
        dict(all_first=5, sampling="balanced", selection="batch_hard"),
        dict(triplet_weight=0, objective="cross_entropy_triplet", sampling="shuffled"),
        dict(chosen_share=0, **CHOSEN),
        dict(chosen_share=1, **CHOSEN, objective="cross_entropy"),
    ],
)
def test_settings_without_effect(values):
    made = RunConfig(epochs=5, **values)
    assert list(rules.without_effect(made)) == [next(iter(values))]
    changed = {"chosen_share": 0.5, "triplet_weight": 0.5}.get(next(iter(values)), 4)
    assert not rules.without_effect(made.changed(**{next(iter(values)): changed}))


@pytest.mark.parametrize("classifier", ["knn", "knn_weighted"])
def test_check_data_neighbours(classifier):
    made = RunConfig(neighbours=5, classifier=classifier)
    rules.check_data(made, sizes(3, 3))
    message = error_of(rules.check_data, made, sizes(3, 2))  # nobody votes for itself
    assert message.startswith("neighbours: ")
    assert "5 training images" in message
    for other in ("centre", "nearest_mean"):
        rules.check_data(made.changed(classifier=other), sizes(3, 2))
    # Of 4 + 4 images 2 + 2 are left
    held = made.changed(validation_share=0.5)
    assert "4 training images besides those for validation" in error_of(rules.check_data, held, sizes(4, 4))


@pytest.mark.parametrize("counts", [(10,), (1, 1, 1)])
@pytest.mark.parametrize(
    "values",
    [
        dict(objective="triplet"),
        dict(objective="supervised_contrastive"),
        dict(objective="cross_entropy_triplet"),
        dict(objective="cross_entropy", sampling="random_triplets"),
        dict(objective="triplet", sampling="shuffled"),
    ],
)
def test_check_data_triplets(counts, values):
    made = RunConfig(neighbours=1, **values)
    message = error_of(rules.check_data, made, sizes(*counts))
    assert "two classes, one of them with two" in message
    rules.check_data(RunConfig(neighbours=1, objective="cross_entropy"), sizes(1, 1, 1))
    rules.check_data(RunConfig(neighbours=1), sizes(1, 2))


def test_check_data_one_class():
    message = error_of(rules.check_data, RunConfig(neighbours=1, objective="cross_entropy"), sizes(10))
    assert message.startswith("the set has only one class, of which every answer is right; ")


def test_check_data_triplets_without_the_validation_images():
    made = RunConfig(neighbours=1, validation_share=0.5)
    rules.check_data(made, sizes(4, 4))
    assert error_of(rules.check_data, made, sizes(2, 2)).startswith(
        "objective and sampling: "
    )  # one image each is left


def test_check_data_balanced():
    made = RunConfig(neighbours=1, sampling="balanced", classes_per_batch=4)
    rules.check_data(made, sizes(2, 3, 2, 9))
    message = error_of(rules.check_data, made, sizes(2, 3, 9))
    assert message.startswith("classes_per_batch: the set has 3 classes; use 3 or fewer")
    message = error_of(rules.check_data, made, sizes(2, 1, 2, 9))
    assert message.startswith("sampling: class 11 ")
    assert "add an image" in message
    rules.check_data(made.changed(classes_per_batch=0), sizes(2, 3, 9))


def test_check_data_chosen_classes():
    made = RunConfig(neighbours=1, sampling="chosen_triplets", positive_classes=(10, 12), negative_classes=(11,))
    rules.check_data(made, sizes(2, 1, 2))
    message = error_of(rules.check_data, made, sizes(2, 1))
    assert message.startswith("positive_classes and negative_classes: the set has no class 12; it has 10, 11")
    message = error_of(rules.check_data, made, sizes(2, 5, 1))
    assert message.startswith("positive_classes: class 12 has fewer than two images")
    message = error_of(rules.check_data, made.changed(validation_share=0.5), sizes(8, 9, 2))
    assert message.startswith("positive_classes: class 12 ")
    unknown = made.changed(negative_classes=(3,))
    assert "no class 3;" in error_of(rules.check_data, unknown, sizes(2, 1, 2))


def test_check_data_validation():
    made = RunConfig(neighbours=1, validation_share=0.95)
    rules.check_data(made, sizes(40, 40))
    message = error_of(rules.check_data, made, sizes(40, 9))
    assert message.startswith("validation_share: ")
    assert "smaller share" in message


@pytest.mark.parametrize(("share", "size", "expected"), [(0, 9, 0), (0.1, 200, 20), (0.1, 4, 0), (0.5, 7, 4)])
def test_held_out(share, size, expected):
    assert RunConfig(validation_share=share).held_out(size) == expected
