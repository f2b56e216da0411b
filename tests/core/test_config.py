"""Presets, bounds, cross-field rules, the settings as text and as JSON, and what a run is called."""

import dataclasses
import json
import math

import pytest

from core import config
from core.config import DEFAULT_BLOCKS, PRESETS, ConfigError, RunConfig, from_preset, parse_setting

FIELDS = {field.name: field for field in config.settings()}
NUMBERS = [name for name, field in FIELDS.items() if field.type in (int, float) and not field.metadata["choices"]]
CHOICES = [name for name, field in FIELDS.items() if field.metadata["choices"]]


def error_of(call, *arguments, **options) -> str:
    with pytest.raises(ConfigError) as caught:
        call(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


# The settings and the presets


def test_every_setting_is_described():
    for name, field in FIELDS.items():
        facts = field.metadata
        assert facts["label"], name
        assert facts["help"], name
        assert facts["group"] in config.GROUPS
        if facts["choices"]:
            assert field.default in facts["choices"]
        else:
            assert facts["low"] < facts["high"]
        for other, wanted in facts["only_with"].items():
            assert wanted in FIELDS[other].metadata["choices"]


def test_only_the_preset_is_no_setting():
    assert {field.name for field in dataclasses.fields(RunConfig)} - set(FIELDS) == {"preset"}


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_builds_and_changes_only_known_settings(name):
    made = from_preset(name)
    assert made.preset == name
    assert set(PRESETS[name].values) <= set(FIELDS)
    for key, value in PRESETS[name].values.items():
        assert getattr(made, key) == value
    assert PRESETS[name].title
    assert PRESETS[name].expect


def test_the_lab_sheets_metric_learner():
    facenet = from_preset("facenet")
    assert (facenet.architecture, facenet.blocks, facenet.objective) == ("resnet", (2, 2, 2, 2), "triplet")
    assert (facenet.embedding_size, facenet.triplets, facenet.neighbours) == (128, 8000, 5)


@pytest.mark.parametrize(
    ("name", "blocks"), [("densenet52", (2, 2, 4, 16)), ("densenet39", (2, 5, 4, 6)), ("resnext32", (3, 3, 3))]
)
def test_the_lab_sheets_classifiers(name, blocks):
    made = from_preset(name)
    assert made.blocks == blocks
    assert made.objective == "cross_entropy"
    assert made.augmentation == "crop_flip"
    assert (made.learning_rate, made.decay_factor, made.decay_every) == (0.01, 10, 50)
    assert (made.batch_size, made.momentum, made.weight_decay) == (64, 0.9, 5e-4)


def test_from_preset_with_changes():
    made = from_preset("facenet", epochs=1, margin=0.5)
    assert made == dataclasses.replace(from_preset("facenet"), epochs=1, margin=0.5)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("architecture", DEFAULT_BLOCKS)
def test_another_architecture_brings_its_blocks(name, architecture):
    made = from_preset(name, architecture=architecture)
    own = from_preset(name)
    assert made.architecture == architecture
    assert made.blocks == (own.blocks if own.architecture == architecture else DEFAULT_BLOCKS[architecture])


def test_given_blocks_win_over_those_of_the_architecture():
    assert from_preset("facenet", architecture="resnext", blocks=(1, 2)).blocks == (1, 2)


def test_unknown_presets_and_settings_are_refused_by_name():
    message = error_of(from_preset, "facenext")
    assert "facenext" in message
    assert all(name in message for name in PRESETS)
    assert "nothing" in error_of(from_preset, "facenet", nothing=1)
    assert "architecture" in error_of(from_preset, "facenet", architecture="vgg")


def test_a_configuration_is_frozen_and_can_be_a_key():
    made = RunConfig()
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.epochs = 3
    assert len({made, RunConfig(), RunConfig(epochs=3)}) == 2


# Bounds and types


@pytest.mark.parametrize("name", NUMBERS)
def test_bounds_are_inclusive_and_refused_beyond(name):
    field = FIELDS[name]
    low, high = field.metadata["low"], field.metadata["high"]
    for value in (low, high):
        kept = getattr(RunConfig(**{name: value}), name)
        assert kept == value
        assert type(kept) is field.type
    beyond = 1 if field.type is int else 1e-9
    for value in (low - beyond, high + beyond):
        message = error_of(RunConfig, **{name: value})
        assert message == f"{name}: {value} is out of bounds; use {low} to {high}"


@pytest.mark.parametrize("value", ["3", None, True, math.nan, math.inf, -math.inf, [3], 1 + 0j])
@pytest.mark.parametrize("name", NUMBERS)
def test_what_is_not_a_number_is_refused(name, value):
    assert error_of(RunConfig, **{name: value}).startswith(f"{name}: ")


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_too_large_for_a_float_is_out_of_bounds(name):
    assert error_of(RunConfig, **{name: 10**400}).startswith(f"{name}: ")


@pytest.mark.parametrize("name", [name for name in NUMBERS if FIELDS[name].type is int])
def test_whole_numbers(name):
    middle = FIELDS[name].metadata["low"] + 1
    kept = getattr(RunConfig(**{name: float(middle)}), name)  # a JSON or a form may bring 3.0
    assert (kept, type(kept)) == (middle, int)
    assert error_of(RunConfig, **{name: middle + 0.5}) == f"{name}: {middle + 0.5} is not a whole number"


@pytest.mark.parametrize("name", CHOICES)
def test_choices(name):
    field = FIELDS[name]
    for value in field.metadata["choices"]:
        blocks = DEFAULT_BLOCKS.get(value, (2, 2, 2, 2))
        assert getattr(RunConfig(**{"blocks": blocks, name: value}), name) == value
    for value in ("nonsense", 2, None, ["none"], True, 3.0):  # True equals 1 and 3.0 equals 3
        message = error_of(RunConfig, **{name: value})
        assert message.startswith(f"{name}: ")
        assert all(str(choice) in message for choice in field.metadata["choices"])


def test_blocks_are_kept_as_a_tuple():
    assert RunConfig(blocks=[1, 64]).blocks == (1, 64)


@pytest.mark.parametrize("value", [(), 3, "2,2", None, (2.0, 2), (True, 2), ("2", 2), (0, 1), (1, 65), (1,) * 7])
def test_bad_blocks(value):
    assert error_of(RunConfig, blocks=value).startswith("blocks: ")


# Settings that contradict each other


@pytest.mark.parametrize("blocks", [(2,), (2, 2, 2), (2, 2, 2, 2, 2)])
def test_a_densenet_has_four_blocks(blocks):
    message = error_of(RunConfig, architecture="densenet", blocks=blocks)
    assert message.startswith("blocks: ")
    assert f"given were {len(blocks)}" in message
    assert RunConfig(architecture="resnet", blocks=blocks).blocks == blocks


def test_one_image_a_batch_is_no_batch():
    assert error_of(RunConfig, objective="cross_entropy", batch_size=1).startswith("batch_size: ")
    assert RunConfig(objective="triplet", batch_size=1).batch_size == 1  # three images
    assert RunConfig(objective="cross_entropy", batch_size=2).batch_size == 2


def test_check_data_neighbours():
    made = RunConfig(neighbours=5)
    config.check_data(made, [3, 3])
    assert error_of(config.check_data, made, [3, 2]).startswith("neighbours: ")  # nobody votes for itself
    assert "5 training images" in error_of(config.check_data, made, [3, 2])


@pytest.mark.parametrize("sizes", [[10], [1, 1, 1]])
def test_check_data_triplets(sizes):
    made = RunConfig(neighbours=1)
    assert error_of(config.check_data, made, sizes).startswith("objective: ")
    config.check_data(dataclasses.replace(made, objective="cross_entropy"), sizes)
    config.check_data(made, [1, 2])


# As text and as JSON


@pytest.mark.parametrize("name", FIELDS)
def test_parse_setting_reads_every_default(name):
    default = FIELDS[name].default
    text = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
    parsed = parse_setting(f" {name} = {text} ")
    assert parsed == (name, default)
    assert type(parsed[1]) is type(default)


@pytest.mark.parametrize("text", ["2,2,4,16", "[2,2,4,16]", "(2, 2, 4, 16)", "[ 2, 2,4 ,16 ]"])
def test_parse_blocks(text):
    assert parse_setting(f"blocks={text}") == ("blocks", (2, 2, 4, 16))
    assert config.parse_value("blocks", text) == ("blocks", (2, 2, 4, 16))


def test_parse_one_block_and_a_choice_that_is_a_number():
    assert parse_setting("blocks=3") == ("blocks", (3,))
    assert parse_setting("channels=1") == ("channels", 1)
    assert parse_setting("learning_rate=1e-3") == ("learning_rate", 0.001)


@pytest.mark.parametrize(
    "text", ["epochs=many", "epochs=2.5", "epochs=", "margin=wide", "blocks=2,,2", "blocks=[]", "blocks=a,b"]
)
def test_what_cannot_be_parsed(text):
    name, _, value = text.partition("=")
    message = error_of(parse_setting, text)
    assert message.startswith(f"{name}: {value!r} is not ")


def test_unknown_and_incomplete_settings():
    message = error_of(parse_setting, "epoch=3")
    assert message.startswith("epoch: no such setting")
    assert "epochs" in message
    assert error_of(parse_setting, "preset=quick").startswith("preset: no such setting")
    assert "key=value" in error_of(parse_setting, "epochs")


@pytest.mark.parametrize("name", PRESETS)
def test_through_json_and_back(name):
    made = from_preset(name, seed=7)
    text = json.dumps(config.to_dict(made), allow_nan=False)
    assert json.loads(text) == config.to_dict(made)  # the very values, no tuple that becomes a list
    again = config.from_dict(json.loads(text))
    assert again == made
    assert type(again.blocks) is tuple
    assert json.dumps(config.to_dict(again)) == text


def test_from_dict_checks_like_the_constructor():
    values = config.to_dict(RunConfig())
    assert "temperature" in error_of(config.from_dict, values | {"temperature": 1.0})
    assert error_of(config.from_dict, values | {"epochs": 0}).startswith("epochs: ")
    assert config.from_dict({}) == RunConfig()


# What a run is called


def test_changes_and_title():
    made = from_preset("facenet", epochs=1, margin=0.5)
    assert config.changes(made) == {"margin": 0.5, "epochs": 1}
    assert config.title(made) == "FaceNet, margin 0.5, epochs 1"
    assert config.title(from_preset("facenet")) == "FaceNet"
    blocks = from_preset("resnext32", blocks=(1, 1), objective="triplet")
    assert config.title(blocks) == "ResNeXt-32 (16x8d), blocks 1-1, objective triplet"
    assert config.title(from_preset("densenet39", augmentation="none", objective="cross_entropy")).endswith(
        "augmentation none"
    )
    assert config.title(from_preset("facenet", objective="cross_entropy")) == "FaceNet, objective cross entropy"


def test_settings_without_an_effect_are_no_changes():
    made = from_preset("densenet52", margin=5.0, width=8, cardinality=2, embedding_size=4, growth_rate=13)
    assert config.changes(made) == {"growth_rate": 13}
    assert config.changes(dataclasses.replace(made, objective="triplet", blocks=(2, 2, 4, 16))) == {
        "growth_rate": 13,
        "objective": "triplet",
        "embedding_size": 4,
        "margin": 5.0,
    }


def test_a_run_without_a_known_preset_is_compared_with_the_defaults():
    assert config.title(RunConfig()) == "custom"
    assert config.title(RunConfig(preset="of last year", epochs=7)) == "of last year, epochs 7"


def test_applies():
    assert config.applies(FIELDS["epochs"], {})
    assert config.applies(FIELDS["margin"], {"objective": "triplet"})
    assert not config.applies(FIELDS["margin"], {"objective": "cross_entropy"})
