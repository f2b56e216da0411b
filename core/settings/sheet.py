"""The lab sheet's own published curves, as reference beside a run of the same preset.

lab_sheet.csv holds the figures that the sheet prints for 2,000 training and 1,000 test images of MNIST: 20 epochs of
DenseNet-52 and ResNeXt-32, 5 of FaceNet, whose test loss it does not give. Accuracies are fractions.
"""

import csv
from functools import cache
from pathlib import Path

_FILE = Path(__file__).with_name("lab_sheet.csv")


@cache
def published(preset: str) -> tuple[dict[str, float | None], ...]:
    """A row an epoch: epoch, train_loss, train_accuracy, test_loss, test_accuracy; nothing for any other preset."""
    with open(_FILE, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row.pop("preset") == preset]
    return tuple({name: float(value) if value else None for name, value in row.items()} for row in rows)
