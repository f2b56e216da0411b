"""Whatever run.json and label.json of some runs hold, every page draws the others."""

import json
import shutil
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.parts import header
from core.runs import store
from core.runs.record import RunRecord
from tests.app.pages import PAGES, open_page, texts

VALUES = (None, True, -1, 0, 7.5, 1e300, 10**30, "", "9026-01-01T00:00:00", "<b>\u0000", [], [[]], {}, {"a": 1})
GOOD = "The one that is whole"
LABEL = {"name": "Mine", "archived": False, "colour": 3}


def places(facts: dict, before: tuple = ()) -> list[tuple]:
    """The way to every entry, those inside others included."""
    found = []
    for name, value in facts.items():
        found.append((*before, name))
        if isinstance(value, dict):
            found += places(value, (*before, name))
    return found


def changed(facts: dict, place: tuple, value) -> dict:
    """A copy of the facts with another value at one place."""
    head, *rest = place
    return facts | {head: changed(facts[head], tuple(rest), value) if rest else value}


def cases(facts: dict) -> list[tuple[dict, dict]]:
    """Contents of run.json and label.json: every entry of them with every value."""
    found = [(changed(facts, place, value), LABEL) for place in places(facts) for value in VALUES]
    return found + [(facts, changed(LABEL, place, value)) for place in places(LABEL) for value in VALUES]


def write(folder: Path, run: dict, label: dict) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text(json.dumps(run))
    (folder / "label.json").write_text(json.dumps(label))
    return folder


def can_be_read(run: dict) -> bool:
    try:
        return bool(RunRecord.model_validate_json(json.dumps(run)))
    except ValidationError:
        return False


@pytest.fixture(scope="module")
def facts(trained):
    return json.loads((trained.folder / "run.json").read_text())


@pytest.fixture(scope="module")
def many(trained, facts, tmp_path_factory):
    """A folder with every case that can be read, some that cannot, and, newest of all, a run that is whole."""
    runs = tmp_path_factory.mktemp("fuzz")
    damaged = 0
    for number, case in enumerate(cases(facts)):
        damaged += not can_be_read(case[0])
        if can_be_read(case[0]) or damaged % 20 == 0:
            write(runs / f"20260102-000000-fuzz-{number:04d}", *case)
    shutil.copytree(trained.folder, runs / trained.id)
    write(runs / trained.id, facts | {"number": 2**50}, LABEL | {"name": GOOD})
    return runs


def test_a_changed_entry_is_refused_or_means_the_same_when_written_again(facts, tmp_path):
    refused = 0
    for case in cases(facts):
        folder = write(tmp_path / "run", *case)
        run = store.read(folder)
        if run.status == "damaged":
            refused += 1
            assert "\n" not in run.error
        else:
            record = RunRecord.read(folder / "run.json")
            (folder / "run.json").write_bytes(record.to_bytes())
            assert RunRecord.read(folder / "run.json") == record
    assert len(cases(facts)) / 2 < refused < len(cases(facts))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_draws_the_good_run_whatever_others_hold(lab, many, trained, page, monkeypatch):
    monkeypatch.setenv("TRIPLETLAB_RUNS", str(many))
    app = open_page(page, trained.id)
    named = texts(app) + "".join(table.value.to_csv() for table in app.dataframe)
    named += "".join(link.proto.label for link in app.get("page_link"))
    assert GOOD in named
    if page in ("home", "runs"):
        assert named.count(" is damaged: ") == header.NAMED_DAMAGED
        assert "more runs are damaged" in named


def test_what_is_read_in_spite_of_a_change_can_be_looked_at(lab, many, trained):
    found = [run.id for run in store.list_runs(many) if run.status != "damaged" and run.id != trained.id]
    for name in found[:: len(found) // 3]:
        shutil.copytree(many / name, lab / name)
        assert not open_page("train", name).exception
