"""What a run may be called."""

import pytest

from core.runs.checks import checked_name
from core.settings.setting import ConfigError


@pytest.mark.parametrize("name", ["👩‍🔬 lab", "می‌خواهم", "🏳️‍🌈", " Ünïcode "])
def test_joiners_within_a_name_are_part_of_it(name):
    assert checked_name(name) == name.strip()


UNSEEN = ["", "\u200d", "a\u200d", "\u200cb", "a\u200d\u200db", "a\u202eb", "a\u2066b", "a\nb", "a\0b", "a \u200db"]
UNSEEN += ["\u3164", "a\u2800b"]


@pytest.mark.parametrize("name", UNSEEN)
def test_what_nobody_sees_is_refused(name):
    with pytest.raises(ConfigError, match="all of them visible"):
        checked_name(name)
