"""Each setting: described, within bounds, the same as JSON, read from older runs, and of an effect or not."""

import json
import math

import pytest
import torch
from pydantic import ValidationError

from core.learning.sampling import batches, steps_per_epoch
from core.settings import config, setting
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
from core.settings.setting import ConfigError
from core.settings.text import parse_value, written
from tests.core.settings.fields import CHOSEN, FIELDS, error_of

NUMBERS = [name for name, field in FIELDS.items() if field.type in (int, float) and not field.choices]
CHOICES = [name for name, field in FIELDS.items() if field.choices]
LISTS = [name for name, field in FIELDS.items() if field.type == tuple[int, ...]]
NEEDED = {  # what a value cannot be without
    ("classifier", "softmax"): dict(objective="cross_entropy"),
    ("sampling", "chosen_triplets"): CHOSEN,
    ("warm_up", 100.0): dict(epochs=101),
    ("patience", 1000): dict(validation_share=0.1),
    ("patience", 1): dict(validation_share=0.1),
}


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


@pytest.mark.parametrize("name", ["momentum", "weight_average"])
def test_what_was_before_cannot_be_kept_whole(name):
    assert error_of(RunConfig, **{name: 1.0}).startswith(f"{name}: 1.0 is out of bounds")


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


def test_a_refusal_names_its_setting():
    with pytest.raises(ConfigError) as caught:
        RunConfig(epochs=0)
    assert caught.value.setting == "epochs"
    assert caught.value.reason == "0 is out of bounds; use 1 to 1000"
    assert ConfigError("no images").setting == ""


# As JSON


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
