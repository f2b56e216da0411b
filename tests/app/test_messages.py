"""What several pages write."""

import pytest

from app.parts import messages


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (59.6, "60 s"),
        (99.4, "99 s"),
        (99.6, "1 min 40 s"),
        (119.7, "2 min 00 s"),
        (161.7, "2 min 42 s"),
        (3599.4, "59 min 59 s"),
    ],
)
def test_a_duration_is_not_rounded_up_to_the_next_minute(seconds, words):
    assert messages.duration(seconds) == words


def test_a_confidence_is_a_whole_number_of_percent_kept_together():
    assert messages.confidence(0.6) == "60\u00a0%"
    assert messages.confidence(1.0) == "100\u00a0%"
