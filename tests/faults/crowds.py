"""Faults: several writers of one run, and very many runs in one process."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from core import control
from core.dataset.loader import DataSet
from core.runs import store
from core.runs.files import StoreError
from core.runs.queue import queue
from core.settings.config import RunConfig
from tests.faults import deadly


def two_writers(config: RunConfig, images: DataSet, runs: Path, writers: int = 6) -> Iterator[deadly.Row]:
    """Several processes take up the same run at the same moment, while others read it without a break."""
    whole, folder = deadly.whole_of(config, images, runs), deadly.begin(config, images, runs)
    go, bad = runs / "go", runs / "bad"

    def write():
        while not go.exists():
            time.sleep(0.001)
        deadly.train_on(folder, images)

    def read():
        while True:
            run = store.read(folder)
            try:
                store.history(run), store.steps(run), store.mistakes(run)
                right = run.status in ("interrupted", "queued", "running", "done")
            except StoreError as error:
                right, run = False, error
            if not right:
                bad.write_text(str(run))

    readers = [deadly.fork(read) for _ in range(2)]
    children = [deadly.fork(write) for _ in range(writers)]
    go.touch()
    statuses = sorted(deadly.ended(child) for child in children)
    for reader in readers:
        os.kill(reader, signal.SIGKILL)
        deadly.ended(reader)
    assert statuses == [0] + [1] * (writers - 1), statuses
    assert not bad.exists(), bad.read_text()
    deadly.compare(whole, folder)
    yield f"{writers} writers of one run at once, 2 readers", f"1 trains, {writers - 1} are refused in one line"


def many_runs(config: RunConfig, images: DataSet, runs: Path, count: int = 200) -> Iterator[deadly.Row]:
    """So many runs in the queue of one process, some of them paused, stopped or failing: nothing stays behind."""
    measured = runs / "measured"

    def held() -> dict[str, float]:
        lines = Path("/proc/self/status").read_text().splitlines()
        facts = dict(line.split(":", 1) for line in lines)
        return {
            "memory in MB": int(facts["VmRSS"].split()[0]) / 1024,
            "threads": int(facts["Threads"]),
            "open files": len(os.listdir("/proc/self/fd")),
        }

    def work():
        rows = []
        for number in range(count):
            changes = {"learning_rate": 10.0, "weight_decay": 1.0} if number % 5 == 4 else {}
            control.begin(config.changed(epochs=1, **changes), images, runs / "many")
            if number % 5 == 3:
                control.pause(store.list_runs(runs / "many")[0])
            assert queue().join(60)
            rows.append(held())
        assert not any(run.active for run in store.list_runs(runs / "many"))
        measured.write_text(json.dumps(rows))

    assert deadly.ended(deadly.fork(work)) == 0
    tenth, last = (json.loads(measured.read_text())[place] for place in (9, -1))
    for name, limit in {"memory in MB": 1.05, "threads": 1.0, "open files": 1.0}.items():
        assert last[name] <= limit * tenth[name], (
            f"{name}: {tenth[name]:.0f} after 10 runs, {last[name]:.0f} at the end"
        )
    words = ", ".join(f"{name} {tenth[name]:.0f} -> {last[name]:.0f}" for name in tenth)
    yield f"{count} runs in one process, from the 10th to the last", words
