"""The CSV files in results/."""

import csv
from pathlib import Path


def append(path: Path, rows: list[dict]) -> None:
    """Adds rows of the same columns; a new file gets its first line."""
    path.parent.mkdir(exist_ok=True)
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(rows)
