"""python -m core trash."""

import json
import sys

import pytest

from core.__main__ import main
from core.runs import store, writing


@pytest.fixture
def thrown(tiny, digits, tmp_path, monkeypatch, capsys):
    """The id of a deleted run, and a function that calls `trash` and returns (status, JSON or error)."""
    monkeypatch.setenv("TRIPLETLAB_UPLOADS", str(tmp_path / "uploads"))
    writer = writing.create(tiny, digits, tmp_path)
    writer.close()
    assert main(["delete", writer.id, "--runs", str(tmp_path)]) == 0
    assert store.list_runs(tmp_path) == []
    capsys.readouterr()

    def call(*arguments):
        status = main(["trash", *arguments, "--json", "--runs", str(tmp_path)])
        out, err = capsys.readouterr()
        return status, json.loads(out) if out else err

    return writer.id, call, tmp_path


def test_it_is_listed_and_brought_back(thrown):
    run, call, runs = thrown
    status, found = call("list")
    assert (status, [each["name"] for each in found["trash"]]) == (0, [run])
    assert found["trash"][0]["days_left"] == 14
    assert call("restore", run)[0] == 0
    assert [each.id for each in store.list_runs(runs)] == [run]
    assert call("list")[1]["trash"] == []


def test_for_good_only_with_a_yes(thrown, monkeypatch):
    run, call, _ = thrown
    assert call("empty") == (2, "error: what is deleted for good cannot be brought back: add --yes\n")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda *_: "n")
    assert call("empty")[1]["trash"] == []
    assert len(call("list")[1]["trash"]) == 1
    assert [each["name"] for each in call("empty", run, "--yes")[1]["trash"]] == [run]
    assert call("list")[1]["trash"] == []


def test_wrong_use_is_one_line(thrown):
    _, call, _ = thrown
    assert call("restore")[0] == 2
    assert call("list", "x")[0] == 2
    status, said = call("restore", "nothing")
    assert (status, said.count("\n"), "no 'nothing' in the trash" in said) == (1, 1, True)
