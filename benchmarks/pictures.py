"""The pictures in README.md and docs/, taken anew: python -m benchmarks.pictures [--data DIR]

A `facenet-semi-hard` run is trained at the command line; then Chromium opens pages of a real lab over
it. To be called after a change of one of them.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.browser import ROOT, open_page, serve
from core import places
from core.runs import store

PRESET = "facenet-semi-hard"  # its run has triplets to show
PATIENCE = 120_000  # milliseconds until a page is drawn: UMAP is compiled once
BUSY = "being drawn|measuring an epoch|Counting the layers"  # what a page says of work in the background
# Each page, and what stands on it when it is complete
PAGES = {
    "train": ("train?run={run}", ".js-plotly-plot .scatterlayer .point"),
    "mistakes": ("mistakes?run={run}", "img"),
    "embedding": ("embedding?run={run}", ".js-plotly-plot"),
}


def main() -> None:
    """Trains, opens each page and writes docs/PAGE.png."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pictures", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=places.data_folder(), help="the data set")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tripletlab-pictures-") as name:
        runs = Path(name) / "runs"
        command = [sys.executable, "-m", "core", "train", PRESET, "--data", str(options.data), "--runs", str(runs)]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        (run,) = store.list_runs(runs)
        with serve(options.data, runs) as url:
            for page, (address, complete) in PAGES.items():
                take(f"{url}/{address.format(run=run.id)}", complete, ROOT / "docs" / f"{page}.png")


def take(url: str, complete: str, file: Path) -> None:
    """One picture of 1440x900 pixels, once what `complete` selects is there and nothing is running."""
    with open_page(url) as page:
        page.locator(complete).first.wait_for(timeout=PATIENCE)
        page.get_by_test_id("stStatusWidget").wait_for(state="detached", timeout=PATIENCE)
        page.wait_for_function(f"!/{BUSY}/.test(document.body.innerText)", timeout=PATIENCE)
        page.mouse.move(2, 450)
        page.wait_for_timeout(1500)  # figures fade in
        page.screenshot(path=file)
    print(file.relative_to(ROOT))


if __name__ == "__main__":
    main()
