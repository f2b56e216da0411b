"""The lab's live page in Chromium while a run goes on: what it costs the training, and how soon it answers.

dashboard: a run that is started on the Train page of a real `python -m app`, with that page open in Chromium until it
has ended, against `python -m core train` in a process of its own. The browser runs on the same cores, as it does on a
student's laptop, so what it takes counts. The server has loaded its libraries before, with a short run and a map of it.
The first epoch, in which both load libraries, is not counted. The one that stands still is frozen by a signal.

clicks: milliseconds in the browser from a click on a button of the page, while a run goes on, until the page has
answered. The button is the projector's: the whole page is drawn anew.
"""

import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from benchmarks import browser, pairs, results
from benchmarks.pairs import Weights
from core import places
from core.runs import store
from core.runs.store import Run
from core.settings.config import RunConfig
from core.settings.presets import PRESETS, from_preset

SLOWEST_ANSWER = 20_000  # milliseconds
POLL = 0.01  # seconds
TURN = 8  # epochs: a page that wakes up draws at once, so that short turns would count too many drawings
SOON = 300  # milliseconds in which 95 of 100 clicks shall be answered

# From the click until the type has another size, looked at in every frame that the browser draws
_CLICK = """async (slowest) => {
  const size = () => getComputedStyle(document.documentElement).fontSize;
  const before = size(), begun = performance.now();
  document.querySelector(".st-key-projector button").click();
  while (size() === before) {
    if (performance.now() - begun > slowest) throw new Error("the page did not answer");
    await new Promise(requestAnimationFrame);
  }
  return performance.now() - begun;
}"""


def measure_dashboard(
    preset: str = "quick", epochs: int | None = None, count: int = 3, folder: Path | None = None
) -> dict:
    """A run on the live page against one by the command line: see pairs.summary. Without a browser it says so.

    By default two turns after the first epoch, which does not count.
    """
    if not browser.browser_path():
        return pairs.summary("dashboard", [], "not measured: no browser is installed")
    folder, config, rows = folder or places.data_folder(), pairs.config_of(preset, epochs or 1 + 2 * TURN), []
    with tempfile.TemporaryDirectory(prefix="tripletlab-overhead-") as name:
        lab = Path(name)
        with browser.serve(folder, lab / "dashboard") as url:
            _warm_up(url, lab / "dashboard")
            for _ in range(count):
                load = os.getloadavg()[0]
                rows.append(pairs.row("dashboard", config, *_side_by_side(url, lab, folder, config), load))
    return pairs.summary("dashboard", rows)


def _warm_up(url: str, runs: Path) -> None:
    """A short run and its map: afterwards nothing is left for the server to load or to compile in the background."""
    with browser.open_page(f"{url}/train") as page:
        _press_start(page, runs, from_preset("quick", epochs=1))
        page.get_by_role("link", name="See the embedding").click(timeout=browser.SLOWEST_MAP)
        browser.wait_for_umap(page)


def _press_start(page, runs: Path, config: RunConfig) -> Run:
    """Fills in the form and starts the run; returns it as soon as it is there."""
    page.locator(".st-key-start button").first.wait_for()
    page.locator(".st-key-form_preset input").click()
    page.get_by_role("option", name=PRESETS[config.preset].title, exact=True).click()
    page.wait_for_timeout(1000)  # the preset writes into the field
    field = page.locator(".st-key-set_epochs input")
    field.fill(str(config.epochs))
    field.press("Tab")
    page.wait_for_timeout(1000)
    before = _ids(runs)
    page.locator(".st-key-start button").first.click()
    return new_run(runs, before)


def _ids(runs: Path) -> set[str]:
    return {run.id for run in store.list_runs(runs)}


def new_run(runs: Path, before: set[str]) -> Run:
    """The run that is not among those of `before`, once it is there."""
    while not (new := [run for run in store.list_runs(runs) if run.id not in before]):
        time.sleep(POLL)
    return new[0]


def _side_by_side(url: str, lab: Path, folder: Path, config: RunConfig) -> tuple[float, float]:
    """Seconds of a run on the page and of one by the command line, all epochs but the first one."""
    command = [sys.executable, "-m", "core", "train", config.preset, "--set", f"epochs={config.epochs}"]
    command += ["--data", str(folder), "--runs", str(lab / "command line")]
    silent = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with browser.open_page(f"{url}/train") as page:
        run = _press_start(page, lab / "dashboard", config)
        server_and_browser = psutil.Process().children()
        ours, before = _epochs(run, server_and_browser), _ids(lab / "command line")
        next(ours)
        with subprocess.Popen(command, cwd=browser.ROOT, **silent) as process:
            other = new_run(lab / "command line", before)
            theirs = _epochs(other, [psutil.Process(process.pid)])
            next(theirs)
            sides = pairs.in_turns(ours, theirs)
        page.get_by_text("done", exact=True).first.wait_for()
        alive = page.locator(".js-plotly-plot .scatterlayer .point").nth(4 * config.epochs - 1)
        alive.wait_for(state="attached")  # a point an epoch: training and test, loss and accuracy
    first, second = (store.read(each.folder) for each in (run, other))
    if first.status != "done" or (first.config, first.result) != (second.config, second.result):
        raise RuntimeError(f"the page and the command line did not do the same training: {first}, {second}")
    return sides[0].seconds, sides[1].seconds


def _epochs(run: Run, processes: list[psutil.Process]) -> Iterator[Weights]:
    """The run goes on until its first epoch, or so many more, are in its table; then these processes and those below
    them stand still."""
    try:
        for epoch in range(1, run.config.epochs + 1, TURN):
            _signal(processes, psutil.Process.resume)
            while _trained(run) < epoch:
                time.sleep(POLL)
            _signal(processes, psutil.Process.suspend)
            yield {}
        _signal(processes, psutil.Process.resume)
        while store.read(run.folder).active:
            time.sleep(POLL)
    finally:
        _signal(processes, psutil.Process.resume)


def _trained(run: Run) -> int:
    """Epochs in its table, by the number of lines: reading it properly would take a fifth of a core from both."""
    file = run.folder / "history.csv"
    return file.read_bytes().count(b"\n") - 1 if file.exists() else 0


def _signal(processes: list[psutil.Process], what) -> None:
    for process in processes:
        for each in [process, *process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                what(each)


def measure_clicks(preset: str = "quick", count: int = 60, folder: Path | None = None) -> dict:
    """A row of clicks.csv: how soon the page has answered `count` clicks, two seconds apart, while a run goes on.

    Raises RuntimeError without a browser.
    """
    if not browser.browser_path():
        raise RuntimeError("no browser is installed: apt-get install chromium")
    folder, config, load = folder or places.data_folder(), from_preset(preset, epochs=1000), os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="tripletlab-clicks-") as name:
        runs = Path(name) / "runs"
        with browser.serve(folder, runs) as url:
            _warm_up(url, runs)
            with browser.open_page(f"{url}/train") as page:
                run = _press_start(page, runs, config)
                while not _trained(run):
                    time.sleep(POLL)
                taken = []
                for _ in range(count):
                    taken.append(page.evaluate(_CLICK, SLOWEST_ANSWER))
                    page.wait_for_timeout(2000)
                if not store.read(run.folder).active:
                    raise RuntimeError("the run ended before the last click: name a slower preset")
    milliseconds = [round(each) for each in (statistics.median(taken), _share(taken, 0.95), max(taken))]
    names = ("median ms", "95 % within ms", "slowest ms")
    found = {"preset": preset, "clicks": count} | dict(zip(names, milliseconds, strict=True))
    found |= {"target ms": SOON, "load before": round(load, 2)} | results.circumstances()
    print(f"clicks: {found}", file=sys.stderr, flush=True)
    return found


def _share(values: list[float], share: float) -> float:
    """The smallest value that this share of all does not exceed."""
    return sorted(values)[math.ceil(len(values) * share) - 1]
