"""Exported pictures have names that every system can hold."""

import re
from dataclasses import replace

import pytest

from core.analysis import mistakes
from core.exchange import archives, pictures
from tests.core.conftest import some_embedded

NAMES = ("a/b", 'x:"?*', "con", "dot.")


def test_every_class_name_can_be_part_of_a_file_name(digits, tmp_path):
    images = replace(digits, classes=NAMES)
    wrong = mistakes.find(images, some_embedded(3))
    assert {*wrong.true, *wrong.predicted} == set(digits.class_numbers)
    pictures.export(wrong, images, tmp_path / "out")
    names = [file.name for file in (tmp_path / "out").iterdir()]
    assert len(names) == 3 * len(wrong) + 1
    assert not [name for name in names if re.search(r'[<>:"/\\|?*]', name)]
    assert pictures.export(wrong, images, tmp_path / "out") == len(names) - 1  # an earlier export is known again
    assert len(list((tmp_path / "out").iterdir())) == len(names)


def test_the_name_of_an_ordinary_class_stays_as_it_is():
    for name in ("7", "digit 7", "größer", "con", "a.b"):
        assert pictures.file_name(name) == name


@pytest.mark.parametrize("name", ["CON", "nul", "aux", "Aux.v2", "com1", "LPT9", "prn ", "a.", "a "])
def test_a_name_that_windows_cannot_hold_is_refused_in_a_zip_file(name):
    assert archives.why_no_name(name)


@pytest.mark.parametrize("name", ["control", "console", "null", "com10", "auxin", "7"])
def test_names_that_only_begin_like_a_device_are_taken(name):
    assert not archives.why_no_name(name)
