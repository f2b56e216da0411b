"""Races: fair lanes, turns of one epoch, and each run bit for bit the one that it would be alone."""

import functools
import json
import threading

import numpy as np
import pytest

from core import control, experiment, race, turns
from core.learning.events import EpochDone, Finished
from core.learning.states import Status
from core.runs import store, writing
from core.runs.comparison import images_an_epoch
from core.runs.files import StoreError
from core.runs.queue import RunQueue, queue
from core.settings.setting import ConfigError
from tests.core.whole_runs import check_same

SMALL = dict(blocks=(1, 1), width=8, embedding_size=8, epochs=2, images_per_class=3, neighbours=3)
SMALL |= dict(precision="float32", threads=1, all_first=0)
VARY = {"selection": ["all", "semi_hard", "batch_hard"]}
SOON = 60


@pytest.fixture(autouse=True)
def empty_queue():
    yield
    for name in queue().names():
        queue().stop(name)
    assert queue().join(SOON)


def begun(digits, runs, vary=VARY, seeds=1, **changes):
    configs = race.lanes("facenet-semi-hard", vary, seeds, digits, **SMALL | changes)
    return race.create("facenet-semi-hard", list(vary), configs, digits, runs)


@pytest.fixture(scope="module")
def alone(digits, tmp_path_factory):
    """Gives the run that is trained by itself with the settings of another one; each is trained once."""
    folder = tmp_path_factory.mktemp("alone")

    @functools.cache
    def train(config):
        with writing.create(config, digits, folder) as writer:
            list(experiment.run(writer, digits))
        return store.read(writer.folder)

    return lambda run: train(run.config)


# Lanes


def test_every_combination_with_every_seed(digits):
    vary = {"selection": ["all", "batch_hard"], "margin": [1.0, 2.0, 2.0]}
    found = race.lanes("facenet-semi-hard", vary, 2, digits, **SMALL | {"seed": 5})
    named = [(each.seed, each.selection, each.margin) for each in found]
    assert named == [(seed, rule, margin) for seed in (5, 6) for rule in ("all", "batch_hard") for margin in (1.0, 2.0)]
    base = dict(found[0])
    for each in found:
        assert {name for name, value in dict(each).items() if value != base[name]} <= {"seed", *vary}


@pytest.mark.parametrize("preset", ["facenet-semi-hard", "facenet"])
def test_all_lanes_look_at_as_many_images(preset, digits, tmp_path):
    vary = {"selection": ["drawn", "all", "batch_hard"]}
    configs = race.lanes(preset, vary, 1, digits, **SMALL)
    assert [each.batches for each in configs] == ["random_triplets", "balanced", "balanced"]
    seen = []
    for config in configs:
        with writing.create(config.changed(epochs=1), digits, tmp_path) as writer:
            list(experiment.run(writer, digits))
        seen.append(images_an_epoch(store.read(writer.folder)))
    assert seen == [48, 48, 48]


@pytest.mark.parametrize(
    ("preset", "vary", "seeds", "reason"),
    [
        ("facenet-semi-hard", {"selection": ["all"]}, 1, "2 to 24"),
        ("facenet-semi-hard", {"selection": ["all", "all"]}, 1, "2 to 24"),
        ("facenet-semi-hard", {"selection": ["all", "batch_hard"]}, 13, "2 to 24"),
        ("quick", VARY, 1, "no effect"),
        ("nothing", VARY, 1, "no preset"),
        ("facenet-semi-hard", {"margin": [0, 1]}, 1, "semi-hard"),
    ],
)
def test_what_cannot_be_raced(preset, vary, seeds, reason, digits):
    with pytest.raises(ConfigError, match=reason):
        race.lanes(preset, vary, seeds, digits)


# Turns


def test_turns_and_each_run_as_it_is_alone(alone, digits, tmp_path):
    runs = tmp_path / "raced"
    made, writers = begun(digits, runs)
    assert [run.status for run in race.runs_of(made, runs)] == ["queued"] * 3
    events = list(race.run(writers, digits, lambda: None))
    order = [(race_run, event.epoch) for race_run, event in events if isinstance(event, EpochDone)]
    assert order == [(name, epoch) for epoch in (1, 2) for name in made.runs]
    ends = [event.status for _, event in events if isinstance(event, Finished)]
    assert ends == ["queued"] * 2 + ["queued"] + ["done"] * 3
    for run in race.runs_of(made, runs):
        assert run.status == "done"
        check_same(alone(run), run, epochs=2)
    assert race.find(runs, "latest") == race.find(runs, made.race) == made


def test_in_the_queue_it_is_the_same_and_gives_way_to_others(alone, tiny, digits, tmp_path):
    runs = tmp_path / "raced"
    free = threading.Event()
    queue().submit("before it", lambda asked: iter(free.wait, True))
    name = control.begin_race("facenet-semi-hard", VARY, 1, digits, runs, **SMALL)
    made = race.find(runs, name)
    other = control.begin(tiny.changed(epochs=1), digits, runs)
    assert queue().names()[1:] == [*made.runs, other]
    free.set()
    assert queue().join(SOON)
    assert store.find(runs, other).status == "done"
    for run in race.runs_of(made, runs):
        assert run.status == "done", run.error
        check_same(alone(run), run, epochs=2)
    assert not list(runs.glob("*/waiting"))


def test_a_run_that_fails_does_not_end_the_others(digits, tmp_path):
    vary = {"learning_rate": [0.01, 0.02]}
    made, writers = begun(digits, tmp_path, vary)
    writers[1].take_turn()
    (tmp_path / made.runs[1] / "last.pt").write_bytes(b"damaged")
    writers[1].wait()
    events = list(race.run(writers, digits, lambda: None))
    good, bad = race.runs_of(made, tmp_path)
    assert (good.status, bad.status) == ("done", "failed")
    assert [type(event) for name, event in events if name == bad.id] == [StoreError]
    rows = race.standing(made, [good, bad])
    assert [row["status"] for row in rows] == ["done", "failed"]
    assert (rows[1]["test_accuracy"], rows[0]["images_to"], rows[1]["images_seen"]) == (None, None, 0)


def test_asked_to_pause_all_are_paused_and_go_on_the_furthest_behind_first(alone, digits, tmp_path):
    made, writers = begun(digits, tmp_path / "raced")
    asked = []
    for name, event in race.run(writers, digits, lambda: "pause" if asked else None):
        if name == made.runs[1] and isinstance(event, EpochDone):
            asked.append(name)
    runs = race.runs_of(made, tmp_path / "raced")
    assert [run.status for run in runs] == ["paused"] * 3
    again = race.reopen(made, digits, tmp_path / "raced")
    assert [writer.id for writer in again] == [made.runs[2], made.runs[0], made.runs[1]]
    list(race.run(again, digits, lambda: None))
    for run in race.runs_of(made, tmp_path / "raced"):
        check_same(alone(run), run, epochs=2)
    with pytest.raises(StoreError, match="can go on"):
        race.reopen(made, digits, tmp_path / "raced")


def test_a_request_between_two_turns_is_not_lost(digits, tmp_path):
    """Paused at the very moment at which a run gives way."""
    _, writers = begun(digits, tmp_path)
    for writer in writers[1:]:
        race.let_go(writer, Status.STOPPED)
    free = threading.Event()
    writer, wait = writers[0], writers[0].wait

    def late() -> None:
        queue().pause(writer.id)
        wait()

    writer.wait = late
    turns.enqueue(writer, digits, turns.in_turns)
    queue().submit("after it", lambda asked: iter(free.wait, True))
    free.set()
    assert queue().join(SOON)
    assert store.read(writer.folder).status == "paused"


def test_a_process_that_ends_interrupts_all(digits, tmp_path, monkeypatch):
    own = RunQueue()
    monkeypatch.setattr(turns, "queue", lambda: own)
    name = control.begin_race("facenet-semi-hard", VARY, 1, digits, tmp_path, **SMALL | {"epochs": 500})
    made = race.find(tmp_path, name)
    while not store.read(tmp_path / made.runs[2]).result:
        threading.Event().wait(0.01)
    assert own.shutdown(SOON)
    ended = race.runs_of(made, tmp_path)
    assert [run.status for run in ended] == ["interrupted"] * 3, [run.error for run in ended]
    assert len(race.reopen(made, digits, tmp_path)) == 3


# The record


def test_standing_against_the_tables(digits, tmp_path):
    made, writers = begun(digits, tmp_path, {"selection": ["all", "batch_hard"]}, seeds=2)
    list(race.run(writers, digits, lambda: None))
    runs = race.runs_of(made, tmp_path)
    rows = race.standing(made, runs)
    tables = [store.history(run) for run in runs]
    common = min(table.test_accuracy.max() for table in tables)
    assert [(row["selection"], row["seed"]) for row in rows] == [
        ("all", 0), ("batch_hard", 0), ("all", 1), ("batch_hard", 1)
    ]  # fmt: skip
    for row, run, table in zip(rows, runs, tables, strict=True):
        first = next(epoch for epoch, each in zip(table.epoch, table.test_accuracy, strict=True) if each >= common)
        assert row["to_common"] == common
        assert row["images_to"] == first * images_an_epoch(run)
        assert row["seconds_to"] == table.seconds[first - 1]
        assert (row["epochs"], row["images_seen"]) == (2, 2 * images_an_epoch(run))
        assert row["test_accuracy"] == table.test_accuracy.iloc[-1]
    json.dumps(rows)


def test_deleted_runs_and_damaged_files(digits, tmp_path):
    made, writers = begun(digits, tmp_path)
    for writer in writers:
        race.let_go(writer, Status.STOPPED)
    store.delete(tmp_path / made.runs[0])
    assert [run.id for run in race.runs_of(made, tmp_path)] == list(made.runs[1:])
    file = tmp_path / "races" / f"{made.race}.json"
    for content in ("", "{}", "[]", json.dumps(json.loads(file.read_text()) | {"runs": ["../a", "b"]})):
        (tmp_path / "races" / "race-20260101-000000-0000.json").write_text(content)
        assert race.all_races(tmp_path) == [made]
    for name in ("race-20260101-000000-0000", "../x", "nothing"):
        with pytest.raises(StoreError, match="no race"):
            race.find(tmp_path, name)
    for run in made.runs[1:]:
        store.delete(tmp_path / run)
    assert race.all_races(tmp_path) == []
    with pytest.raises(StoreError, match="no races"):
        race.find(tmp_path, "latest")


def test_nothing_is_left_of_a_race_that_cannot_begin(digits, tmp_path, monkeypatch):
    configs = race.lanes("facenet-semi-hard", VARY, 1, digits, **SMALL)
    too_many = configs[2].changed(neighbours=1000)
    with pytest.raises(ConfigError):
        race.create("facenet-semi-hard", ["selection"], [*configs[:2], too_many], digits, tmp_path)
    assert store.list_runs(tmp_path) == []
    assert not np.any([file.suffix == ".lock" for file in tmp_path.iterdir()])
