"""The tables in README.md and docs/, made from results/: python -m benchmarks.documents.

A document holds `<!-- generated: NAME -->` and `<!-- end -->`; what stands between them is written anew. To be
called after presets, bench or overhead; tests/test_documents.py says when a table is stale.
"""

import csv
import re
from collections.abc import Callable
from pathlib import Path

from benchmarks import bench, overhead, presets

ROOT = Path(__file__).parents[1]
LAB = "f33f46bee51f"  # fingerprint of the lab's own images, on which the tables are measured
FIRST = ["quick", "facenet", "densenet52", "resnext32", "facenet-semi-hard", "facenet-best", "densenet52-best"]
FIRST += ["resnext32-best"]  # what the README shows
_MARKED = re.compile(r"(<!-- generated: ([\w-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def results() -> list[str]:
    """The README's choice of rows."""
    lines = presets.table(LAB)
    return lines[:2] + [line for line in lines[2:] if line.split("|")[1].strip() in FIRST]


def all_results() -> list[str]:
    """Every row, and which GPUs the last column is of."""
    return [*presets.table(LAB), "", *presets.gpus()]


def overheads() -> list[str]:
    """Each kept pair of what the lab costs, as slower by how many percent."""
    lines = ["| what | preset | epochs | pairs | slower: lowest | median | highest | date | processor |"]
    lines.append("|" + "---|" * 9)
    groups: dict[tuple, list[float]] = {}
    with overhead.RESULTS.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            key = tuple(row[name] for name in ("what", "preset", "epochs", "date", "processor"))
            groups.setdefault(key, []).append(100 * float(row["ratio"]) - 100)
    for (what, preset, epochs, date, processor), slower in groups.items():
        slower.sort()
        middle = (slower[(len(slower) - 1) // 2] + slower[len(slower) // 2]) / 2
        cells = [what, preset, epochs, len(slower), *(f"{each:.1f} %" for each in (slower[0], middle, slower[-1]))]
        lines.append(f"| {' | '.join(map(str, [*cells, date, processor]))} |")
    return lines


TABLES: dict[str, Callable[[], list[str]]] = {
    "results": results,
    "presets": all_results,
    "bench": bench.table,
    "overhead": overheads,
}


def filled(text: str) -> str:
    """A document's text with its tables made anew. Raises KeyError for a name that no table has."""
    return _MARKED.sub(lambda found: found[1] + "\n".join(TABLES[found[2]]()) + "\n" + found[4], text)


def documents() -> list[Path]:
    """The files that may hold tables."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def main() -> None:
    """Writes the tables of all documents anew."""
    for document in documents():
        before = document.read_text(encoding="utf-8")
        if (after := filled(before)) != before:
            document.write_text(after, encoding="utf-8")
            print(document.relative_to(ROOT))


if __name__ == "__main__":
    main()
