"""Start is pressed in Chromium: how soon a run learns in a thread of the server, and in a worker process.

    python -m benchmarks.starts [--pairs 3] [--data DIR]

A pair is one run of Quick look in each, in labs that have just been started. One call appends a row a run to
results/starts.csv.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from benchmarks import browser, live_page, results
from core import places
from core.runs import store

AT_REST = 20.0  # seconds until a lab that was just started has loaded its libraries


def measure(workers: int, folder: Path) -> dict:
    """A row of the table; without workers the run is trained in a thread of the server."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="tripletlab-starts-") as name:
        runs = Path(name) / "runs"
        with (
            browser.serve(folder, runs, *["--workers", str(workers)] * bool(workers)) as url,
            browser.open_page(f"{url}/train") as page,
        ):
            start = page.locator(".st-key-start button").first
            start.wait_for()
            time.sleep(AT_REST)
            begun = time.monotonic()
            start.click()
            run = live_page.new_run(runs, set())
            while not (run.folder / "steps.csv").exists():
                time.sleep(live_page.POLL)
            first = time.monotonic() - begun
            while store.read(run.folder).active:
                time.sleep(live_page.POLL)
            ended = time.monotonic() - begun
            seconds = store.history(store.read(run.folder))["seconds"]
    return {
        "workers": workers or "thread",
        "first step s": round(first, 2),
        "later epochs s": round(float(seconds.iloc[-1] - seconds.iloc[0]), 2),
        "end s": round(ended, 2),
        "load before": round(load, 2),
        **results.circumstances(),
    }


def main() -> int:
    """Measures in turns, prints and keeps the rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.starts", description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--data", type=Path, default=places.data_folder())
    options = parser.parse_args()
    rows = [measure(workers, options.data) for _ in range(options.pairs) for workers in (0, 1)]
    print(pd.DataFrame(rows).to_string())
    results.append("starts", rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
