"""What the benchmarks have measured, a CSV file each in results/, and the tables made of it.

    python -m benchmarks.results    writes the tables in README.md and docs/ anew

A document holds `<!-- generated: NAME -->` and `<!-- end -->`; what stands between them is made here.
tests/test_documents.py says when a table is stale.
"""

import csv
import datetime
import re
import statistics
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from core.learning import machine
from core.settings.config import RunConfig, settings
from core.settings.presets import PRESETS
from core.settings.text import written

ROOT = Path(__file__).parents[1]
FOLDER = Path(__file__).parent / "results"
LAB = "f33f46bee51f"  # fingerprint of the lab's own images, on which the tables are measured
SHEET = {"facenet": 0.98, "densenet52": 0.942, "resnext32": 0.955}  # what the lab sheet states
FIRST = ["quick", "facenet", "densenet52", "resnext32", "facenet-semi-hard", "facenet-best", "densenet52-best"]
FIRST += ["resnext32-best"]  # what the README shows
_MARKED = re.compile(r"(<!-- generated: ([\w-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


# The CSV files


def append(name: str, rows: list[dict]) -> None:
    """Adds rows of the same columns to the file of that name; a new file gets its first line."""
    path = FOLDER / f"{name}.csv"
    path.parent.mkdir(exist_ok=True)
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(rows)


def read(name: str) -> pd.DataFrame:
    """The rows of a file, an empty cell as an empty text; no rows where nothing has been measured yet."""
    path = FOLDER / f"{name}.csv"
    return pd.read_csv(path, keep_default_na=False, na_values={}) if path.exists() else pd.DataFrame()


def circumstances() -> dict[str, str]:
    """When and on what something was measured: columns of its row."""
    return {"date": datetime.date.today().isoformat(), **machine.versions()}


def settings_text(config: RunConfig) -> str:
    """The settings that are not the defaults, e.g. "epochs=2; width=16": what makes two rows comparable.

    Seed and threads have columns of their own.
    """
    plain = RunConfig()
    names = sorted(field.name for field in settings() if field.name not in ("seed", "threads"))
    changed = [name for name in ("preset", *names) if getattr(config, name) != getattr(plain, name)]
    return "; ".join(f"{name}={written(getattr(config, name))}" for name in sorted(changed))


def markdown(columns: list[str], rows: list[list]) -> list[str]:
    """The lines of a table."""
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    return lines + [f"| {' | '.join(map(str, row))} |" for row in rows]


# Presets


def of_preset(entry: str, fingerprint: str, device: str = "cpu") -> pd.DataFrame:
    """What presets.csv holds of an entry on a data set and a device: its newest settings, a row a seed."""
    kept = read("presets")
    if not len(kept):
        return kept
    kept = kept[(kept["name"] == entry) & (kept["data"] == fingerprint[:12]) & (kept["device"] == device)]
    kept = kept[kept["settings"] == kept["settings"].iloc[-1]] if len(kept) else kept
    return kept.assign(**{name: pd.to_numeric(kept[name]) for name in ("test_accuracy", "seconds", "threads")})


def most_asked(entry: str) -> str:
    """The fingerprint of the data set with the most test images that cores were asked for; empty if there is none."""
    kept = read("presets")
    kept = kept[(kept["name"] == entry) & (kept["device"] == "cpu")] if len(kept) else kept
    return kept["data"][kept["test_images"].idxmax()] if len(kept) else ""


def on_gpu(entry: str, now: str, fingerprint: str) -> str:
    """What an entry with its settings of `now` took and reached on a GPU; empty where it has not been tried."""
    kept = of_preset(entry, fingerprint, "cuda")
    if not len(kept):
        return ""
    kept = kept.dropna(subset=["test_accuracy", "seconds"])
    kept = kept[kept["settings"] == now]
    if not len(kept):
        return ""
    how = f"{len(kept)} seed" + "s" * (len(kept) > 1) + ", several runs at once" * bool((kept["threads"] == 1).any())
    return f"{kept['seconds'].mean():.0f} s, {spread(kept['test_accuracy'])} ({how})"


def gpus() -> list[str]:
    """Which GPUs the rows are of, a line each."""
    kept = read("presets")
    if not len(kept):
        return []
    kept = kept[kept["device"] == "cuda"].drop_duplicates(["date", "processor", "precision", "torch"])
    return [f"{row.date}, GPU: {row.processor}, {row.precision}, PyTorch {row.torch}" for row in kept.itertuples()]


def spread(accuracy: pd.Series) -> str:
    """Mean and, of several seeds, standard deviation."""
    return f"{accuracy.mean():.2%}" + f" ± {accuracy.std():.2%}" * (len(accuracy) > 1)


def presets(fingerprint: str = LAB) -> list[str]:
    """The newest settings of each entry that cores have trained, mean and deviation over its seeds."""
    kept = read("presets")
    entries = dict.fromkeys([*PRESETS, *kept["name"]]) if len(kept) else ()
    rows = [_of_entry(entry, mine, fingerprint) for entry in entries if len(mine := of_preset(entry, fingerprint))]
    columns = ["preset", "seeds", "images seen", "test accuracy, last epoch", "the sheet", "seconds", "on a GPU"]
    return markdown(columns, rows)


def _of_entry(entry: str, mine: pd.DataFrame, fingerprint: str) -> list:
    most = mine["threads"].max()
    accuracy, seconds = mine["test_accuracy"].dropna(), mine["seconds"][mine["threads"] == most].dropna()
    outcome = spread(accuracy) if len(accuracy) else "none"
    alarms = mine["alarm"][mine["alarm"] != ""].value_counts()
    rang = [kind + f" in {count} of {len(mine)}" * (count < len(mine)) for kind, count in alarms.items()]
    outcome += f" (alarm: {', '.join(rang)})" * (len(rang) > 0)
    sheet = f"{SHEET[entry]:.1%}" if entry in SHEET else ""
    time = f"{seconds.mean():.0f}" + " (one thread)" * int(most == 1) if len(seconds) else ""
    seen, now = mine["images_seen"].iloc[-1], mine["settings"].iloc[-1]
    return [entry, len(mine), f"{seen:,}", outcome, sheet, time, on_gpu(entry, now, fingerprint)]


def first_presets() -> list[str]:
    """The README's choice of rows."""
    lines = presets()
    return lines[:2] + [line for line in lines[2:] if line.split("|")[1].strip() in FIRST]


def all_presets() -> list[str]:
    """Every row, and which GPUs the last column is of."""
    return [*presets(), "", *gpus()]


# Speed


def bench() -> list[str]:
    """The newest measurement of each row, and where they were made."""
    rows = read("bench")
    columns = ["what", "target", "measured", "on a GPU, without Python's start", "met", "how"]
    cells = [[row.what, row.target, row.measured, row.gpu, row.met, row.how] for row in rows.itertuples()]
    where = sorted({f"{row.date}, {row.machine}" for row in rows.itertuples()}) + gpus()
    return [*markdown(columns, cells), "", *where]


def overheads() -> list[str]:
    """Each kept pair of what the lab costs, as slower by how many percent."""
    columns = ["what", "preset", "epochs", "pairs", "slower: lowest", "median", "highest", "date", "processor"]
    rows, facts = [], ["what", "preset", "epochs", "date", "processor"]
    for (what, preset, epochs, date, processor), pairs in read("overhead").groupby(facts, sort=False):
        slower = [100 * ratio - 100 for ratio in pairs["ratio"]]
        shares = [f"{each:.1f} %" for each in (min(slower), statistics.median(slower), max(slower))]
        rows.append([what, preset, epochs, len(slower), *shares, date, processor])
    return markdown(columns, rows)


def clicks() -> list[str]:
    """How soon the page answered while a run went on, a line a measurement."""
    rows = read("clicks")
    if rows.empty:
        return ["Not measured yet: `python -m benchmarks.overhead clicks`."]
    rows = rows.drop(columns=["python", "torch"])
    return markdown(list(rows.columns), rows.to_numpy().tolist())


def clients() -> list[str]:
    """Each time that many browsers looked at one run."""
    rows = read("clients")
    return markdown(list(rows.columns), list(rows.itertuples(index=False))) if len(rows) else ["Not measured yet."]


def pages() -> list[str]:
    """The newest measurement of each page and size of set."""
    rows = read("pages")
    columns = ["what", "test images", "mistakes", "target", "median", "slowest", "tries", "date", "processor"]
    if not len(rows):
        return markdown(columns, [])
    rows = rows.drop_duplicates(["what", "images"], keep="last")
    cells = [
        [row["what"], f"{row['images']:,}", row["mistakes"], f"below {row['target ms']} ms" if row["target ms"] else "",
         f"{row['median ms']} ms", f"{row['slowest ms']} ms", row["tries"], row["date"], row["processor"]]
        for row in rows.to_dict("records")
    ]  # fmt: skip
    return markdown(columns, cells)


def maps() -> list[str]:
    """The newest measurement of the maps of each number of images."""
    columns = [
        "images",
        "first map",
        "next frame",
        "second opening",
        "payload",
        "picture of a point",
        "date",
        "processor",
    ]
    rows = []
    for count, kept in read("maps").groupby("images") if len(read("maps")) else ():
        row = kept.iloc[-1]
        seconds = [f"{row[name]:.2f} s" for name in ("first_map", "next_frame", "second_opening")]
        hover = f"{row['hover_ms']:.0f} ms, at most {row['slowest_hover_ms']:.0f} ms"
        rows.append([f"{count:,}", *seconds, f"{row['payload_MB']:.1f} MB", hover, row["date"], row["processor"]])
    return markdown(columns, rows) if rows else ["(not measured yet)"]


def lesson() -> list[str]:
    """Each time that a class of students began runs."""
    rows = read("lesson")
    return markdown(list(rows.columns), rows.to_numpy().tolist())


def starts() -> list[str]:
    """How soon runs learnt after Start, in a thread and in a worker: medians, with the least and the most."""
    rows, figures, cells = read("starts"), ["first step s", "later epochs s", "end s"], []
    if rows.empty:
        return []
    for (workers, date, processor), kept in rows.groupby(["workers", "date", "processor"], sort=False):
        told = [f"{kept[each].median():.1f} ({kept[each].min():.1f} to {kept[each].max():.1f})" for each in figures]
        cells.append([workers, len(kept), *told, date, processor])
    return markdown(["workers", "runs", *figures, "date", "processor"], cells)


# The documents

TABLES: dict[str, Callable[[], list[str]]] = {
    "results": first_presets,
    "presets": all_presets,
    "bench": bench,
    "overhead": overheads,
    "clicks": clicks,
    "clients": clients,
    "pages": pages,
    "maps": maps,
    "lesson": lesson,
    "starts": starts,
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
