"""The form as text: what its fields mean, and the address that gives it back."""

import pytest

from app.exercise import FIRST, Form, from_address, whole_number
from core.settings.in_words import FIELDS, differences
from core.settings.presets import PRESETS, from_preset

WHOLE = [name for name, field in FIELDS.items() if field.type is int and not field.choices]
BROKEN = [name for name, field in FIELDS.items() if field.type is float]


@pytest.mark.parametrize(("text", "value"), [("0,05", 0.05), ("0.05", 0.05), (" .05 ", 0.05), ("5e-2", 0.05)])
def test_a_decimal_comma_is_a_decimal_point(text, value):
    form = Form()
    form.typed("learning_rate", text)
    assert form.config()[0].learning_rate == value
    assert form.texts["learning_rate"] == text  # nothing is typed over


@pytest.mark.parametrize(
    "text", ["99999999999", "-5000000000", "abc", "1,5,5", "1_0", "nan", "inf", "٣", "1 000", "--1"]
)
def test_no_wrong_text_ever_means_another_value(text):
    refused = 0
    for name in (*WHOLE, *BROKEN):
        form = Form("facenet-semi-hard")
        form.texts[name] = text
        config, wrong, clash = form.config()
        assert not clash
        if name in wrong:
            refused += 1
            assert config is None
            assert name not in wrong[name]  # said with its label
        else:  # it has no effect beside the others
            assert getattr(config, name) == getattr(from_preset(form.preset), name)
    assert refused > 10


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "٣", "99999", "abc"])
def test_a_whole_number_is_within_its_bounds(text):
    assert whole_number(text, 1, 40) is None
    assert whole_number(" 40 ", 1, 40) == 40


@pytest.mark.parametrize("text", ["1,5", "1.0", "1e3", "0x10"])
def test_a_whole_number_is_of_digits_only(text):
    form = Form()
    form.typed("epochs", text)
    assert set(form.config()[1]) == {"epochs"}


def test_a_cleared_field_keeps_what_it_held():
    form = Form()
    form.typed("epochs", "7")
    form.typed("epochs", "  ")
    assert form.config()[0].epochs == 7
    form.typed("epochs", "abc")
    form.typed("epochs", "")
    assert form.texts["epochs"] == "7"
    form.typed("positive_classes", "3")
    form.typed("positive_classes", "")  # an empty list is a value
    assert form.texts["positive_classes"] == ""


@pytest.mark.parametrize("preset", PRESETS)
def test_an_address_gives_the_form_back(preset):
    form = Form()
    form.fill(from_preset(preset))
    for name, text in {"learning_rate": "0,123456789", "epochs": "7", "blocks": "1, 2, 1, 1"}.items():
        form.typed(name, text)
    address = form.address()
    assert set(address) == {"preset", "learning_rate", "epochs", "blocks"}
    again, complaints = from_address(address)
    assert complaints == []
    assert again.config()[0] == form.config()[0]


def test_an_unchanged_form_needs_no_address():
    assert Form().address() == {}
    assert from_address({})[0] == Form()


def test_of_what_cannot_be_read_the_address_holds_the_value_before():
    form = Form()
    form.typed("epochs", "99999")
    form.typed("seed", "3")
    assert form.address() == {"preset": FIRST, "seed": "3"}
    form.typed("seed", "x")
    assert form.address() == {"preset": FIRST, "seed": "3"}
    assert form.config()[0] is None


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"preset": "nosuch"}, "there is no preset “nosuch”"),
        ({"epochs": "99999"}, "Epochs: 99999 is out of bounds; use 1 to 1000"),
        ({"learning_rate": "<b>"}, "Learning rate: '<b>' is not a number"),
        ({"objective": "magic"}, "Objective: 'magic' is not one of"),
        ({"lock": "epochs,foo"}, "lock names “foo”, which is no setting"),
        ({"hide": "x" * 5000}, f"hide names “{'x' * 40}…”"),
        ({"blocks": "1," * 5000}, "Blocks in each stage: "),
    ],
)
def test_a_foreign_value_in_the_address_is_named_and_ignored(given, named):
    form, (complaint,) = from_address(given)
    assert complaint.startswith(named)
    assert len(complaint) < 500
    assert form.config()[0] == from_preset(FIRST)


def test_what_is_locked_or_hidden_is_filled_by_the_link_only():
    form, _ = from_address({"preset": "facenet-semi-hard", "margin": "0.5", "lock": "margin", "hide": "epochs,preset"})
    form.fill(from_preset("collapse", epochs=3))
    config = form.config()[0]
    assert (config.preset, config.margin, config.epochs) == ("facenet-semi-hard", 0.5, 10)
    assert config.learning_rate == 0.3
    assert form.address()["lock"] == "margin"


def test_images_left_out_survive_the_address_and_are_counted():
    ids = [f"mnist_train_{number:05d}" for number in range(230)]
    form = Form()
    form.leave_out(ids[:3])
    form.leave_out(ids)  # those again, and as many more as a run can leave out
    config = form.config()[0]
    assert config.exclude == tuple(ids[:200])
    again, complaints = from_address(form.address())
    assert (again.config()[0], complaints) == (config, [])
    assert ("Images left out", "200 images", "none") in differences(config)
    form.typed("exclude", "")
    assert form.config()[0].exclude == ()
