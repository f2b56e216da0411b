"""The commands that list, name, put away and delete runs."""

from core.runs import store, writing
from tests.core.commands.calls import check_failure


def test_runs(call, call_json, trained, tmp_path):
    (tmp_path / "20260101-000000-broken-0000").mkdir()
    (tmp_path / "20260101-000000-broken-0000" / "run.json").write_text("{")
    assert call_json("runs", "--runs", tmp_path) == {
        "runs": [
            {"run": "20260101-000000-broken-0000", "status": "damaged", "preset": None, "test_accuracy": None}
            | {"title": "20260101-000000-broken-0000", "archived": False}
        ]
    }
    status, out, _ = call("runs", "--runs", tmp_path)
    assert (status, out.split()) == (0, ["20260101-000000-broken-0000", "damaged", "20260101-000000-broken-0000"])
    assert call_json("runs", "--runs", tmp_path / "none") == {"runs": []}


def test_runs_lists_the_trained_one(call_json, trained, runs):
    listed = [run for run in call_json("runs", "--runs", runs)["runs"] if run["run"] == trained["run"]]
    assert listed == [
        {"run": trained["run"], "status": "done", "preset": "facenet", "test_accuracy": trained["test_accuracy"]}
        | {"title": store.find(runs, trained["run"]).title, "archived": False}
    ]


def test_names_and_archive(call, call_json, stopped):
    runs = stopped.folder.parent
    given = call_json("rename", stopped.id, "  A wide net – 2 ", "--runs", runs)
    assert given == {"run": stopped.id, "name": "A wide net – 2"}
    assert call_json("archive", stopped.id, "--runs", runs) == {"run": stopped.id, "archived": True}
    (listed,) = call_json("runs", "--runs", runs)["runs"]
    assert (listed["title"], listed["archived"]) == ("A wide net – 2", True)
    assert "A wide net – 2 (archived)" in call("runs", "--runs", runs)[1]
    assert call_json("archive", stopped.id, "--undo", "--runs", runs) == {"run": stopped.id, "archived": False}
    for name in ("", "   ", "x" * 61, "a\nb", "a\x1b[31m", "a\u202eb", "\0"):
        check_failure(call("rename", stopped.id, name, "--runs", runs), 2, "a run's name has 1 to 60 characters")
    assert store.read(stopped.folder).name == "A wide net – 2"
    assert call("rename", stopped.id, "../../etc", "--runs", runs)[0] == 0  # only ever shown


def test_delete(call, call_json, stopped):
    runs = stopped.folder.parent
    with writing.RunWriter(stopped.folder):
        check_failure(call("delete", stopped.id, "--runs", runs), 1, "in the hands of another process")
    assert stopped.folder.exists()
    assert call_json("delete", stopped.id, "--runs", runs) == {"run": stopped.id, "deleted": True}
    assert [each.name for each in runs.iterdir()] == [".trash"]
    check_failure(call("delete", stopped.id, "--runs", runs), 1, "there is no run")
    for name in ("..", ".", "../runs", "/"):
        check_failure(call("delete", name, "--runs", runs), 1, "there is no run")


def test_a_damaged_run_can_be_deleted(call, stopped):
    (stopped.folder / "run.json").write_text("{")
    assert call("delete", stopped.id, "--runs", stopped.folder.parent)[0] == 0
    assert not stopped.folder.exists()


def test_folder_of_runs_that_is_a_file(call, tmp_path):
    (tmp_path / "file").write_text("in the way")
    check_failure(call("runs", "--runs", tmp_path / "file"), 1, "cannot be read as the folder of runs")
