"""What `auto` becomes."""

import itertools

import pytest

from core.settings.choices import CLASSIFIERS, OBJECTIVES, SAMPLINGS, SELECTIONS, TRIPLET_SAMPLINGS
from core.settings.config import RunConfig
from core.settings.resolved import sampling_of
from tests.core.settings.fields import CHOSEN, error_of


@pytest.mark.parametrize(
    ("values", "batches", "counted"),
    [
        (dict(objective="cross_entropy"), "shuffled", None),
        (dict(objective="supervised_contrastive"), "balanced", None),
        (dict(objective="triplet"), "random_triplets", "drawn"),
        (dict(objective="triplet", selection="drawn"), "random_triplets", "drawn"),
        (dict(objective="triplet", selection="all"), "balanced", "all"),
        (dict(objective="triplet", selection="batch_hard"), "balanced", "batch_hard"),
        (dict(objective="triplet", sampling="balanced"), "balanced", "all"),
        (dict(objective="triplet", sampling="shuffled"), "shuffled", "all"),
        (dict(objective="triplet", sampling="confused_triplets"), "confused_triplets", "drawn"),
        (dict(objective="triplet", **CHOSEN), "chosen_triplets", "drawn"),
        (dict(objective="triplet", selection="semi_hard", sampling="random_triplets"), "random_triplets", "semi_hard"),
        (dict(objective="cross_entropy_triplet"), "balanced", "all"),
        (dict(objective="cross_entropy_triplet", selection="semi_hard"), "balanced", "semi_hard"),
        (dict(objective="cross_entropy_triplet", sampling="random_triplets"), "random_triplets", "drawn"),
    ],
)
def test_sampling_and_selection(values, batches, counted):
    made = RunConfig(**values)
    assert made.batches == batches
    if counted:  # elsewhere there are no triplets
        assert made.counted == counted
    assert (made.sampling, made.selection) == (values.get("sampling", "auto"), values.get("selection", "auto"))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_classifier(objective):
    expected = "softmax" if OBJECTIVES[objective].classifies else "knn"
    assert RunConfig(objective=objective).predicts == expected
    for classifier in set(CLASSIFIERS) - {"softmax"}:
        assert RunConfig(objective=objective, classifier=classifier).predicts == classifier


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_what_is_resolved_is_never_auto_and_never_impossible(objective):
    for sampling, selection in itertools.product(SAMPLINGS, ["auto", *SELECTIONS]):
        values = CHOSEN | dict(objective=objective, sampling=sampling, selection=selection)
        resolved = sampling_of(values)
        if OBJECTIVES[objective].triplets and selection == "drawn" and resolved not in TRIPLET_SAMPLINGS:
            assert error_of(RunConfig, **values).startswith("selection: ")
            continue
        made = RunConfig(**values)
        assert made.batches in set(SAMPLINGS) - {"auto"}
        assert made.counted in SELECTIONS
        assert made.predicts in CLASSIFIERS
        if made.counted == "drawn" and OBJECTIVES[objective].triplets:
            assert made.batches in TRIPLET_SAMPLINGS
        if sampling != "auto":
            assert made.batches == sampling
