"""The lab sheet's curves beside the presets that they belong to."""

from core.settings.presets import PRESETS, from_preset
from core.settings.sheet import published


def test_the_sheets_own_figures():
    found = {name: rows for name in PRESETS if (rows := published(name))}
    assert {name: len(rows) for name, rows in found.items()} == {"facenet": 5, "densenet52": 20, "resnext32": 20}
    assert all(len(rows) == from_preset(name).epochs for name, rows in found.items())
    last = {name: rows[-1]["test_accuracy"] for name, rows in found.items()}
    assert last == {"facenet": 0.98, "densenet52": 0.942, "resnext32": 0.955}
    assert found["facenet"][0]["test_loss"] is None
    assert all([row["epoch"] for row in rows] == list(range(1, len(rows) + 1)) for rows in found.values())
