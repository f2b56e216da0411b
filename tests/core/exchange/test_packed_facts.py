"""The run.json of a run brought in: impossible entries are refused, and what is known is not believed."""

import json

import pytest

from core.exchange import packed_runs
from core.runs import store
from tests.core.zips import changed, facts_with, refused_run

FACTS = {
    "format": [999, 0, 1, -1, "1", None, 1.5, True],
    "status": [None, 3, [], "<b>"],
    "created": ["yesterday", "9026-01-01T00:00:00", 5, None, "2026-13-13", "2999-01-01T00:00:00+09:00"],
    "config": [None, [], {"unknown": 1}, "x"],
    "config.epochs": [10**400, -1, 0, 1, 1.5, "2", None, [], float("nan"), float("inf"), True],
    "config.width": [10**9, {}, 4.5, 16],
    "config.blocks": [[1] * 100, [10**9, 1], "ab", [[1]], {}],
    "config.preset": ["../../x", "<b>", 7, [], None, "x" * 10**5],
    "data": [None, []],
    "data.classes": [["a"], [1, 2, 3, 4], [], None],
    "data.class_numbers": [[0, 1, 7], [0, 1, 7, "9"], [0, 1, 7, 10**30], [0, 1, 7, None], None],
    "data.fingerprint": [None, 7],
    "data.source": [None],
    "data.description": [None, 7],
    "data.train": [-1, 10**12, None, 49, 0],
    "data.test": [0, "24", 23],
    "machine": [None, [], {}, {"precision": "float8"}],
    "machine.threads": [0, 10**9],
    "steps_per_epoch": [0, 2, 4, -3, None, 10**9, 1e999],
    "seconds": ["long", 1e300, -1, float("nan"), float("inf"), 10**400],
    "result": [None, []],
    "error": [None, []],
    "diverged": ["no", 1],
    "notes": ["text", None, [7]],
}


@pytest.mark.parametrize("path", FACTS)
def test_run_json_with_impossible_entries(path, members, runs, tmp_path, monkeypatch):
    monkeypatch.setenv("TRIPLETLAB_DATA", str(tmp_path / "none"))  # a set that is known has the last word
    for value in FACTS[path]:
        assert refused_run(facts_with(members, path, value), runs), value


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"7",
        b"[" * 100_000,
        b'{"format": ' + b"9" * 10_000 + b"}",
        b"{}",
        b"NaN",
    ],
)
def test_run_json_that_is_none(content, members, runs):
    assert "run.json" in refused_run(changed(members, "run.json", content), runs)


def test_what_is_known_is_not_believed(run, members, runs):
    """The data set says what it is, the history how the run ended, and the clock what time it is."""
    facts = json.loads(members["run.json"])
    data_lies = facts["data"] | {"classes": list("abcd"), "class_numbers": [3, 2, 0, 1], "source": "<b>", "train": 9}
    facts |= {"data": data_lies, "result": facts["result"] | {"test_accuracy": 1.0, "mistakes": 0, "epochs": 1}}
    facts |= {"created": "1971-10-14T00:00:00", "status": "done"}
    new = store.find(runs, packed_runs.read_run(changed(members, "run.json", json.dumps(facts).encode()), runs))
    assert (new.data, new.result, new.created.year) == (run.data, run.result, 2000)
    archive = changed(members, "run.json", json.dumps(facts | {"status": "stopped", "result": {}}).encode())
    assert store.find(runs, packed_runs.read_run(archive, runs)).result == run.result


def test_settings_that_do_not_fit_the_images(members, runs):
    assert "neighbours: the set has 48" in refused_run(facts_with(members, "config.neighbours", 200), runs)


def test_a_newer_version_is_named(members, runs):
    assert "newer version of the lab" in refused_run(facts_with(members, "format", store.FORMAT + 1), runs)
