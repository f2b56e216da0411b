"""Whole runs of a second each: trained until a step, and compared with one another, bit for bit."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from core import experiment
from core.dataset.loader import DataSet
from core.learning.events import Event, StepDone
from core.runs import store, writing
from core.runs.store import Run
from core.runs.writing import RunWriter
from core.settings.config import RunConfig
from tests.processes import Child


def train(
    config: RunConfig, data: DataSet, runs: Path, steps: int = 10**9, wish: str = "stop"
) -> tuple[Run, list[Event]]:
    """A new run that is asked to end after so many steps."""
    return drain(writing.create(config, data, runs), data, steps, wish)


def drain(writer: RunWriter, data: DataSet, steps: int = 10**9, wish: str = "stop") -> tuple[Run, list[Event]]:
    events: list[Event] = []

    def control() -> str | None:
        return wish if sum(isinstance(event, StepDone) for event in events) >= steps else None

    with writer:
        for event in experiment.run(writer, data, control):
            events.append(event)
    return store.read(writer.folder), events


def predictions(run: Run) -> pd.DataFrame:
    return pd.read_csv(run.folder / "predictions.csv", dtype={"id": str})


def tables(run: Run) -> list[pd.DataFrame]:
    return [store.history(run).drop(columns="seconds"), store.steps(run).drop(columns="seconds"), predictions(run)]


def check_same(run: Run, other: Run, epochs: int):
    for table, same in zip(tables(run), tables(other), strict=True):
        pd.testing.assert_frame_equal(table, same, check_exact=True)
    for epoch in range(1, epochs + 1):
        for array, same in zip(store.embedded(run, epoch), store.embedded(other, epoch), strict=True):
            np.testing.assert_array_equal(array, same)
    weights, same = (store.load_checkpoint(each)["network"] for each in (run, other))
    assert all(torch.equal(weights[name], same[name]) for name in weights)


def same(first, second) -> bool:
    """Whether two checkpoints hold the same bits, but for the clock and the run's id."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        names = first.keys() - {"seconds", "run"}
        return first.keys() == second.keys() and all(same(first[name], second[name]) for name in names)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


def check_resumed(whole: Run, run: Run):
    """The whole folder, but for the clock and the names."""
    check_same(whole, run, whole.config.epochs)
    for name in ("last.pt", "best.pt"):
        assert same(store.load_checkpoint(whole, name), store.load_checkpoint(run, name)), name
    assert (whole.folder / "mistakes.csv").read_bytes() == (run.folder / "mistakes.csv").read_bytes()
    assert (run.status, run.result) == (whole.status, whole.result)
    assert {file.name for file in run.folder.iterdir()} == {file.name for file in whole.folder.iterdir()}
    seconds = store.steps(run).seconds
    assert (seconds.diff().dropna() >= 0).all()  # the clock goes on where it stood
    assert run.seconds >= store.history(run).seconds.iloc[-1] >= seconds.iloc[-1]


def drawn_maps(run: Run, *options) -> list[np.ndarray]:
    """The UMAP of each epoch, which are kept with the run: drawn in another process, where nothing is compiled."""
    drawing = Child(
        "core", "map", run.id, "--runs", run.folder.parent, "--epochs", "all", "--out", run.folder / "maps", *options
    )
    _, errors = drawing.communicate()
    assert drawing.returncode == 0, errors
    drawing.kill()
    files = [np.load(file) for file in sorted((run.folder / "maps").glob("umap_*.npz"))]
    return [np.concatenate([file["train"], file["test"]]) for file in files]
