"""Settings that contradict each other, or with which nothing can be learnt: refused with the setting to change."""

import pytest

from core.settings import rules
from core.settings.config import RunConfig
from tests.core.settings.fields import CHOSEN, error_of, sizes

# Settings that contradict each other


@pytest.mark.parametrize("blocks", [(2,), (2, 2, 2), (2, 2, 2, 2, 2)])
def test_a_densenet_has_four_blocks(blocks):
    message = error_of(RunConfig, architecture="densenet", blocks=blocks)
    assert message.startswith("blocks: ")
    assert f"given were {len(blocks)}" in message
    assert RunConfig(architecture="resnet", blocks=blocks).blocks == blocks


def test_one_image_a_batch_is_no_batch():
    message = error_of(RunConfig, objective="cross_entropy", batch_size=1)
    assert message.startswith("batch_size: ")
    assert "use 2 or more" in message
    assert RunConfig(objective="triplet", batch_size=1).batch_size == 1  # three images
    assert RunConfig(objective="cross_entropy", batch_size=2).batch_size == 2
    assert RunConfig(objective="cross_entropy", sampling="balanced", batch_size=1).batch_size == 1  # of no effect


@pytest.mark.parametrize("objective", ["triplet", "supervised_contrastive"])
def test_softmax_needs_a_class_head(objective):
    message = error_of(RunConfig, objective=objective, classifier="softmax")
    assert message.startswith("classifier: ")
    assert "use knn or centre" in message
    assert RunConfig(objective="cross_entropy_triplet", classifier="softmax").predicts == "softmax"


def test_two_images_make_no_triplet():
    message = error_of(RunConfig, sampling="shuffled", selection="all", batch_size=2)
    assert message.startswith("batch_size: ")
    assert "3 or more" in message
    assert RunConfig(sampling="shuffled", selection="all", batch_size=3).batch_size == 3


@pytest.mark.parametrize("objective", ["triplet", "cross_entropy_triplet"])
@pytest.mark.parametrize("sampling", ["shuffled", "balanced"])
def test_drawn_triplets_need_batches_of_triplets(objective, sampling):
    message = error_of(RunConfig, objective=objective, sampling=sampling, selection="drawn")
    assert message.startswith("selection: ")
    assert sampling in message
    assert "batch_hard" in message


@pytest.mark.parametrize(
    ("largest", "too_large"),
    [
        (dict(sampling="shuffled", batch_size=256), dict(batch_size=257)),
        (dict(sampling="random_triplets", batch_size=85), dict(batch_size=86)),
        (dict(sampling="balanced", classes_per_batch=10, images_per_class=25), dict(images_per_class=26)),
    ],
)
@pytest.mark.parametrize(
    ("selection", "all_first"), [("all", 0), ("semi_hard", 0), ("distance_weighted", 1), ("batch_hard", 1)]
)
def test_a_cube_of_images_has_to_fit_into_memory(largest, too_large, selection, all_first):
    settings = largest | dict(selection=selection, all_first=all_first)
    assert RunConfig(**settings).counted == selection
    message = error_of(RunConfig, **settings | too_large)
    assert message.startswith("selection: ")
    assert "at most 256 images" in message


def test_a_batch_of_all_classes_has_to_fit_into_memory():
    made = RunConfig(sampling="balanced", selection="all", images_per_class=17)
    rules.check_data(made, dict.fromkeys(range(15), 100))
    for classes in (16, 47):  # of 47 classes 16 make a batch
        message = error_of(rules.check_data, made, dict.fromkeys(range(classes), 100))
        assert message.startswith("selection: all triplets of 272 images")
    rules.check_data(made, dict.fromkeys(range(16), 16))  # a class gives all its images if there are fewer


def test_few_triplets_of_many_images_fit_into_memory():
    assert RunConfig(sampling="shuffled", batch_size=1024, selection="batch_hard").counted == "batch_hard"
    assert RunConfig(batch_size=1024, all_first=5).counted == "drawn"  # where all_first has no effect
    assert RunConfig(objective="supervised_contrastive", sampling="shuffled", batch_size=1024, selection="all")


@pytest.mark.parametrize("objective", ["triplet", "cross_entropy_triplet", "supervised_contrastive"])
def test_a_batch_of_one_class_has_no_negatives(objective):
    message = error_of(RunConfig, objective=objective, sampling="balanced", classes_per_batch=1)
    assert message.startswith("classes_per_batch: ")
    assert "2 or more" in message
    for sampling, classes in (("balanced", 2), ("balanced", 0), ("shuffled", 1)):  # 1 has no effect on the last
        assert RunConfig(objective=objective, sampling=sampling, classes_per_batch=classes)
    assert RunConfig(objective="cross_entropy", sampling="balanced", classes_per_batch=1).classes_per_batch == 1


def test_batch_normalisation_cannot_learn_from_a_single_image():
    classifier = RunConfig(objective="cross_entropy")
    rules.check_data(classifier, sizes(1, 1))
    assert "single image" in error_of(rules.check_data, classifier, sizes(1))
    assert "single image" in error_of(rules.check_data, classifier.changed(validation_share=0.5), sizes(2))


@pytest.mark.parametrize("name", ["positive_classes", "negative_classes"])
def test_chosen_classes_have_to_be_named(name):
    assert error_of(RunConfig, **CHOSEN | {name: ()}).startswith(f"{name}: name at least one class")
    assert getattr(RunConfig(), name) == ()  # elsewhere none is needed


def test_a_class_is_not_its_own_negative():
    message = error_of(RunConfig, **CHOSEN | dict(positive_classes=(4, 7, 9), negative_classes=(1, 9, 7)))
    assert message.startswith("negative_classes: 7 ")
    assert "another class" in message
    assert RunConfig(positive_classes=(4,), negative_classes=(4,)).batches == "random_triplets"  # of no effect there


# What cannot learn, or is not what was asked for


@pytest.mark.parametrize("schedule", ["step", "cosine"])
def test_a_warm_up_ends_before_the_training(schedule):
    for warm_up in (5, 7.5):
        message = error_of(RunConfig, schedule=schedule, epochs=5, warm_up=warm_up)
        assert message.startswith(f"warm_up: {warm_up:g} epochs")
    assert RunConfig(schedule=schedule, epochs=5, warm_up=4.5).warm_up == 4.5
    assert RunConfig(schedule="one_cycle", epochs=5, warm_up=5).schedule == "one_cycle"  # of no effect there


@pytest.mark.parametrize("objective", ["triplet", "supervised_contrastive", "cross_entropy_triplet"])
def test_two_shuffled_images_compare_nothing(objective):
    values = dict(objective=objective, sampling="shuffled", selection="all")
    assert error_of(RunConfig, **values, batch_size=2).startswith("batch_size: two shuffled images")
    assert RunConfig(**values, batch_size=3).batch_size == 3
    assert RunConfig(objective="cross_entropy", sampling="shuffled", batch_size=2).batch_size == 2


def test_semi_hard_triplets_need_a_margin():
    for loss in ("margin", "soft_margin"):
        values = dict(sampling="balanced", selection="semi_hard", triplet_loss=loss)
        assert error_of(RunConfig, **values, margin=0).startswith("margin: ")
        assert RunConfig(**values, margin=0.5).margin == 0.5
    assert RunConfig(sampling="balanced", selection="batch_hard", margin=0).margin == 0
