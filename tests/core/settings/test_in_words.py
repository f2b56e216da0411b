"""Settings as people read them."""

from core.settings.config import RunConfig
from core.settings.in_words import differences, in_effect, in_short, shown
from core.settings.presets import from_preset


def test_differences_are_those_with_an_effect():
    config = from_preset("quick").changed(epochs=3, margin=0.5)
    assert differences(config) == [("Epochs", "3", "9")]
    assert differences(RunConfig()) == []


def test_a_unit_is_said_once_and_of_one_in_the_singular():
    assert shown("epochs", 3) == "3"
    assert [shown("all_first", number) for number in (0, 1, 2)] == ["0 epochs", "1 epoch", "2 epochs"]
    assert shown("width", 16) == "16 channels"
    assert shown("margin", 1.0) == "1 distance"


def test_what_has_no_effect_is_not_told():
    told = dict(in_effect(from_preset("quick", epochs=3)))
    assert told["Epochs"] == "3"
    assert told["Objective"] == "Cross-entropy (classification)"
    assert "Margin" not in told
    assert "Margin" in dict(in_effect(from_preset("facenet-semi-hard")))


def test_a_preset_in_short():
    assert in_short(from_preset("quick")) == "preset Quick look, unchanged"
    assert in_short(from_preset("quick", epochs=3)) == "preset Quick look, Epochs 3 (instead of 9)"
