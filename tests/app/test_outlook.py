"""What is said beside the form about a training, and that nothing in it is guessed."""

from app.parts import outlook
from core.learning.outlook import Outlook
from core.measuring import Answer

FACTS = Outlook(20, 1, 716_000, 28_600_000, 25, 2000, None)


def test_what_is_known_is_said_and_what_is_not_is_named():
    assert outlook.said(Answer(), False) == ["Counting the layers …"]
    lines = outlook.said(Answer(FACTS), False)
    assert lines[:2] == ["20 convolutions + 1 fully connected", "716 k parameters · 28.6 M multiply-adds an image"]
    assert lines[2:] == ["2,000 images an epoch in 25 steps", "measuring an epoch’s time …"]
    assert outlook.said(Answer(FACTS), True)[3] == "time not measured while a run trains"
    assert outlook.said(Answer(FACTS, 42.3), True)[3] == "<b>about 42 s an epoch here</b>"
    assert outlook.said(Answer(FACTS, trouble="<too large>"), False)[3] == "&lt;too large&gt;"


def test_triplets_are_called_so():
    assert "8,000 triplets an epoch" in outlook.said(Answer(Outlook(20, 1, 1, 1, 500, 24_000, 8000)), False)[2]


def test_three_digits():
    assert [outlook.short(number) for number in (950, 12_345, 11_170_000)] == ["950", "12.3 k", "11.2 M"]
