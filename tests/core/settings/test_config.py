"""Bounds, cross-field rules, what `auto` becomes, what a data set can give, the settings as text and as JSON."""

import itertools
import json
import math

import pytest
import torch
from pydantic import ValidationError

from core.learning.sampling import batches, steps_per_epoch
from core.settings import config, rules, setting
from core.settings.choices import (
    ARCHITECTURES,
    AUGMENTATIONS,
    CLASSIFIERS,
    OBJECTIVES,
    OPTIMISERS,
    SAMPLINGS,
    SCHEDULES,
    SELECTIONS,
    TRIPLET_SAMPLINGS,
    load,
)
from core.settings.config import RunConfig
from core.settings.presets import PRESETS, from_preset
from core.settings.resolved import sampling_of
from core.settings.setting import ConfigError
from core.settings.text import parse_setting, parse_value, written

FIELDS = {field.name: field for field in config.settings()}
NUMBERS = [name for name, field in FIELDS.items() if field.type in (int, float) and not field.choices]
CHOICES = [name for name, field in FIELDS.items() if field.choices]
LISTS = [name for name, field in FIELDS.items() if field.type == tuple[int, ...]]
CHOSEN = dict(sampling="chosen_triplets", positive_classes=(4,), negative_classes=(9,))
NEEDED = {  # what a value cannot be without
    ("classifier", "softmax"): dict(objective="cross_entropy"),
    ("sampling", "chosen_triplets"): CHOSEN,
    ("warm_up", 100.0): dict(epochs=101),
    ("patience", 1000): dict(validation_share=0.1),
    ("patience", 1): dict(validation_share=0.1),
}


def error_of(call, *arguments, **options) -> str:
    with pytest.raises(ConfigError) as caught:
        call(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


# The settings


def test_every_setting_is_described():
    values = dict(RunConfig())
    for name, field in FIELDS.items():
        facts = field
        assert facts.label, name
        assert facts.help.endswith((".", ")")), name
        assert facts.group in config.GROUPS
        if facts.choices:
            assert field.default in facts.choices
            assert all(facts.choices.values())  # every choice has a title
        elif field.type != setting.IDS:
            assert facts.low < facts.high
            assert facts.step > 0
        assert config.applies(field, values) in (True, False)


def test_only_the_preset_is_no_setting():
    assert {name for name in RunConfig.model_fields} - set(FIELDS) == {"preset"}


def test_every_choice_has_what_it_names():
    for kind in ARCHITECTURES.values():
        assert set(kind.settings) <= set(FIELDS)
        assert callable(load(kind.make))
    for name, objective in OBJECTIVES.items():
        assert set(objective.settings) <= applying(objective=name), name  # each shown with it
        assert all(callable(load(f"{objective.module}:{each}")) for each in ("batch_loss", "held_back_loss"))
    for selection in SELECTIONS.values():
        assert callable(load(selection.rule))
    assert set(TRIPLET_SAMPLINGS) < set(SAMPLINGS)
    for named in (AUGMENTATIONS, CLASSIFIERS, OPTIMISERS, SCHEDULES):
        assert all(named.values())


def test_a_configuration_is_frozen_and_can_be_a_key():
    made = RunConfig()
    with pytest.raises(ValidationError):
        made.epochs = 3
    assert len({made, RunConfig(), RunConfig(epochs=3)}) == 2


# Bounds and types


@pytest.mark.parametrize("name", NUMBERS)
def test_bounds_are_inclusive_and_refused_beyond(name):
    field = FIELDS[name]
    low, high = field.low, field.high
    for value in (low, high):
        kept = getattr(RunConfig(**NEEDED.get((name, value), {}) | {name: value}), name)
        assert kept == value
        assert type(kept) is field.type
    beyond = 1 if field.type is int else 1e-9
    for value in (low - beyond, high + beyond):
        message = error_of(RunConfig, **{name: value})
        assert message == f"{name}: {value} is out of bounds; use {low} to {high}"


@pytest.mark.parametrize("value", ["3", None, True, math.nan, math.inf, -math.inf, [3], 1 + 0j, 10**400], ids=repr)
def test_what_is_no_number_of_any_use_is_refused(value):
    for name in NUMBERS:
        assert error_of(RunConfig, **{name: value}).startswith(f"{name}: ")


@pytest.mark.parametrize("name", [name for name in NUMBERS if FIELDS[name].type is int])
def test_whole_numbers(name):
    middle = FIELDS[name].low + 1
    needed = NEEDED.get((name, middle), {})
    kept = getattr(RunConfig(**needed | {name: float(middle)}), name)  # a JSON or a form may bring 3.0
    assert (kept, type(kept)) == (middle, int)
    assert error_of(RunConfig, **{name: middle + 0.5}) == f"{name}: {middle + 0.5} is not a whole number"


@pytest.mark.parametrize("name", CHOICES)
def test_choices(name):
    field = FIELDS[name]
    for value in field.choices:
        assert getattr(RunConfig(**NEEDED.get((name, value), {}) | {name: value}), name) == value
    for value in ("nonsense", 4, None, ["none"], True, 3.0):  # True equals 1 and 3.0 equals 3
        message = error_of(RunConfig, **{name: value})
        assert message.startswith(f"{name}: ")
        assert all(str(choice) in message for choice in field.choices)


def test_lists_are_kept_as_tuples():
    assert RunConfig(blocks=[1, 64]).blocks == (1, 64)
    made = RunConfig(**CHOSEN | dict(positive_classes=[-3, 999_999_999]))
    assert made.positive_classes == (-3, 999_999_999)


@pytest.mark.parametrize("value", [(), 3, "2,2", None, (2.0, 2), (True, 2), ("2", 2), (0, 1), (1, 65), (1,) * 7])
def test_bad_blocks(value):
    assert error_of(RunConfig, blocks=value).startswith("blocks: ")


@pytest.mark.parametrize("name", ["positive_classes", "negative_classes"])
@pytest.mark.parametrize("value", [3, "2,2", None, (2.0,), (True,), ("2",), (10**9,), (-(10**9),)])
def test_bad_classes(name, value):
    assert error_of(RunConfig, **CHOSEN | {name: value}).startswith(f"{name}: ")


def test_ids_are_kept_once_and_in_one_order():
    made = RunConfig(exclude=["b, 2", "a", 'say "c"', "a"])
    assert made.exclude == ("a", "b, 2", 'say "c"')
    assert RunConfig(**json.loads(json.dumps(made.plain()))) == made
    assert parse_value("exclude", written(made.exclude)) == ("exclude", made.exclude)
    assert parse_value("exclude", "mnist_1,mnist_2\n mnist_3 ,,") == ("exclude", ("mnist_1", "mnist_2", "mnist_3"))
    assert parse_value("exclude", "") == ("exclude", ())


@pytest.mark.parametrize("value", [3, "a", None, (1,), ("",), (" ",), ("a\nb",), ("x" * 256,)])
def test_bad_ids(value):
    assert error_of(RunConfig, exclude=value).startswith("exclude: ")


def test_too_many_ids():
    ids = [f"train_{number}" for number in range(201)]
    assert len(RunConfig(exclude=ids[1:]).exclude) == 200
    assert error_of(RunConfig, exclude=ids) == "exclude: 201 images are too many to leave out; use at most 200"


# What `auto` becomes


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


def test_a_refusal_names_its_setting():
    with pytest.raises(ConfigError) as caught:
        RunConfig(epochs=0)
    assert caught.value.setting == "epochs"
    assert caught.value.reason == "0 is out of bounds; use 1 to 1000"
    assert ConfigError("no images").setting == ""


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


# What a set of training images can give


def sizes(*counts: int) -> dict[int, int]:
    """Classes with the numbers 10, 11, …"""
    return dict(enumerate(counts, start=10))


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


# As text and as JSON


def test_parse_setting_reads_every_default():
    for name, field in FIELDS.items():
        text = ",".join(map(str, field.default)) if isinstance(field.default, tuple) else str(field.default)
        parsed = parse_setting(f" {name} = {text} ")
        assert parsed == (name, field.default)
        assert type(parsed[1]) is type(field.default)


@pytest.mark.parametrize("text", ["2,2,4,16", "[2,2,4,16]", "(2, 2, 4, 16)", "[ 2, 2,4 ,16 ]"])
def test_parse_blocks(text):
    assert parse_setting(f"blocks={text}") == ("blocks", (2, 2, 4, 16))
    assert parse_value("blocks", text) == ("blocks", (2, 2, 4, 16))


def test_parse_one_block_and_a_choice_that_is_a_number():
    assert parse_setting("blocks=3") == ("blocks", (3,))
    assert parse_setting("channels=1") == ("channels", 1)
    assert parse_setting("learning_rate=1e-3") == ("learning_rate", 0.001)


@pytest.mark.parametrize(
    "text", ["epochs=many", "epochs=2.5", "epochs=", "margin=wide", "blocks=2,,2", "blocks=a,b", "positive_classes=3;5"]
)
def test_what_cannot_be_parsed(text):
    name, _, value = text.partition("=")
    message = error_of(parse_setting, text)
    assert message.startswith(f"{name}: {value!r} is not ")


def test_an_empty_list_can_be_written_and_is_refused_where_it_is_none():
    assert parse_setting("positive_classes=") == ("positive_classes", ())
    assert error_of(parse_setting, "blocks=[]").startswith("blocks: ")
    assert error_of(RunConfig, blocks=()).startswith("blocks: ")


@pytest.mark.parametrize("value", [(3,), (3, -5), (), 0.25, 7, "balanced"])
def test_written_is_what_parse_value_reads(value):
    names = {tuple: "negative_classes", float: "chosen_share", int: "epochs", str: "sampling"}
    assert parse_value(names[type(value)], written(value)) == (names[type(value)], value)


def test_unknown_and_incomplete_settings():
    message = error_of(parse_setting, "epoch=3")
    assert message.startswith("epoch: no such setting")
    assert "epochs" in message
    assert error_of(parse_setting, "preset=quick").startswith("preset: no such setting")
    assert "key=value" in error_of(parse_setting, "epochs")


@pytest.mark.parametrize("name", PRESETS)
def test_through_json_and_back(name):
    made = from_preset(name, seed=7)
    text = json.dumps(made.plain(), allow_nan=False)
    assert json.loads(text) == made.plain()  # the very values, no tuple that becomes a list
    again = RunConfig(**json.loads(text))
    assert again == made
    assert type(again.blocks) is tuple
    assert json.dumps(again.plain()) == text


def test_what_a_newer_version_wrote_is_named():
    values = RunConfig().plain()
    assert "dropout" in error_of(RunConfig, **values | {"dropout": 1.0})
    assert error_of(RunConfig, **values | {"epochs": 0}).startswith("epochs: ")
    assert RunConfig(**{}) == RunConfig()


# A configuration as the lab's first version wrote it, before sampling, selection and the rest were settings
OLD = {
    "preset": "densenet39",
    "architecture": "densenet",
    "blocks": [2, 5, 4, 6],
    "growth_rate": 12,
    "cardinality": 16,
    "bottleneck_width": 8,
    "width": 64,
    "channels": 3,
    "objective": "cross_entropy",
    "embedding_size": 128,
    "margin": 2.0,
    "triplets": 8000,
    "epochs": 20,
    "batch_size": 64,
    "learning_rate": 0.01,
    "decay_factor": 10.0,
    "decay_every": 50,
    "momentum": 0.9,
    "weight_decay": 0.0005,
    "augmentation": "crop_flip",
    "neighbours": 5,
    "seed": 0,
    "precision": "auto",
    "threads": 0,
}


def test_runs_of_the_first_version_are_read_and_mean_the_same():
    made = RunConfig(**OLD)
    assert made == from_preset("densenet39")
    assert (made.batches, made.predicts, made.optimiser, made.schedule) == ("shuffled", "softmax", "sgd", "step")
    metric = RunConfig(**OLD | {"objective": "triplet", "preset": "facenet"})
    assert (metric.batches, metric.counted, metric.predicts) == ("random_triplets", "drawn", "knn")
    assert (metric.triplet_loss, metric.triplet_mean, metric.label_smoothing) == ("margin", "all", 0)
    assert (metric.weight_average, metric.norm_momentum, metric.warm_up) == (0, 0.1, 0)  # torch's own momentum
    assert metric.validation_share == 0


# Which settings have an effect


def applying(**values) -> set[str]:
    """Those of the settings that depend on others."""
    made = dict(RunConfig(**values))
    always = {name for name, field in FIELDS.items() if field.when is setting.always}
    return {name for name, field in FIELDS.items() if config.applies(field, made)} - always


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_settings_of_an_architecture(architecture):
    others = {name for kind in ARCHITECTURES.values() for name in kind.settings}
    assert applying(architecture=architecture) & others == set(ARCHITECTURES[architecture].settings)


SGD_STEP = {"width", "stem_stride", "momentum", "warm_up", "decay_factor", "decay_every"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (dict(objective="cross_entropy"), {"label_smoothing", "batch_size"}),
        (
            dict(objective="triplet"),
            {"embedding_size", "selection", "triplets", "triplet_loss", "margin", "triplet_mean", "batch_size"}
            | {"neighbours"},
        ),
        (
            dict(objective="triplet", selection="batch_hard", triplet_loss="soft_margin", classifier="centre"),
            {"embedding_size", "selection", "all_first", "classes_per_batch", "images_per_class", "triplet_loss"},
        ),
        (
            dict(selection="semi_hard", triplet_loss="soft_margin", classifier="knn_weighted"),  # the margin selects
            {"embedding_size", "selection", "all_first", "classes_per_batch", "images_per_class", "triplet_loss"}
            | {"margin", "neighbours"},
        ),
        (
            CHOSEN,
            {"embedding_size", "selection", "triplets", "triplet_loss", "margin", "triplet_mean", "batch_size"}
            | {"neighbours", "positive_classes", "negative_classes", "chosen_share"},
        ),
        (
            dict(objective="supervised_contrastive"),
            {"embedding_size", "temperature", "classes_per_batch", "images_per_class", "neighbours"},
        ),
        (
            dict(objective="cross_entropy_triplet"),
            {"embedding_size", "selection", "classes_per_batch", "images_per_class", "triplet_loss", "margin"}
            | {"triplet_mean", "triplet_weight", "label_smoothing"},
        ),
    ],
)
def test_settings_of_an_objective(values, expected):
    assert applying(**values) == expected | SGD_STEP


def test_settings_of_the_training():
    assert "momentum" not in applying(optimiser="adamw")
    assert {"warm_up", "decay_factor", "decay_every"} & applying(schedule="cosine") == {"warm_up"}
    assert not {"warm_up", "decay_factor", "decay_every"} & applying(schedule="one_cycle")
    assert "patience" in applying(validation_share=0.1)
    assert "chosen_share" in applying(sampling="confused_triplets")


@pytest.mark.parametrize(
    ("values", "a_batch", "an_epoch"),
    [
        (dict(objective="cross_entropy", batch_size=7), 7, 49),  # of 50 a last one is dropped
        (dict(objective="cross_entropy", batch_size=8), 8, 50),
        (dict(batch_size=7, triplets=20), 21, 60),
        (dict(sampling="balanced", images_per_class=4), 12, 48),
        (dict(sampling="balanced", images_per_class=4, classes_per_batch=2), 8, 48),
    ],
)
def test_images_of_a_batch_and_of_an_epoch(values, a_batch, an_epoch):
    made = RunConfig(**values)
    labels = torch.arange(50) % 3
    steps = steps_per_epoch(made, labels)
    found = list(batches(made, labels, (0, 1, 2), None, 1))
    assert (made.images_a_batch(3), made.images_an_epoch(50, 3, steps)) == (a_batch, an_epoch)
    assert (len(found), sum(map(len, found))) == (steps, an_epoch)
