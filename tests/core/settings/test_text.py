"""Settings as people write them, and as they are written for people."""

import pytest

from core.settings.config import RunConfig
from core.settings.text import parse_setting, parse_value, written
from tests.core.settings.fields import FIELDS, error_of


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
    assert parse_setting("learning_rate=0,05") == ("learning_rate", 0.05)


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
