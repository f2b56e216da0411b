"""Waiting runs: they hold no file open, and still nobody else can take them up while their process lives."""

import os
import resource
import textwrap
from contextlib import suppress

import pytest

from core.runs import locks, store, writing
from core.runs.files import StoreError
from tests.processes import Child


@pytest.fixture
def waiting(writer):
    writer.wait()
    yield writer
    writer.take_turn()
    writer.close()


def ended(code: str) -> str:
    """What the code has said in a process of its own."""
    process = Child("tests.snippet", textwrap.dedent(code), together=True)
    try:
        process.wait()
        return process.said()
    finally:
        process.kill()


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_waiting_run_is_queued_and_nobody_else_can_have_it(waiting, digits):
    run = store.read(waiting.folder)
    assert run.status == "queued"
    with pytest.raises(StoreError, match="in the hands of another process"):
        writing.reopen(run, digits)
    with pytest.raises(StoreError, match="in the hands of another process"):
        store.delete(run.folder)


def test_its_turn_leaves_nothing_of_the_waiting_behind(writer):
    before = set(os.listdir(writer.folder)), set(os.listdir(writer.folder.parent))
    writer.wait()
    writer.take_turn()
    assert (set(os.listdir(writer.folder)), set(os.listdir(writer.folder.parent))) == before
    assert store.read(writer.folder).status == "queued"
    writer.close()
    assert store.read(writer.folder).status == "interrupted"


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="counts the handles of Linux")
def test_waiting_runs_share_one_handle(tiny, digits, runs):
    before = open_files()
    writers = [writing.create(tiny, digits, runs) for _ in range(20)]
    for writer in writers:
        writer.wait()
    assert open_files() == before + 1
    assert {run.status for run in store.list_runs(runs)} == {"queued"}
    for writer in writers:
        writer.take_turn()
        writer.close()
    assert open_files() == before
    assert not list(runs.glob(".queue-*"))


def test_waiting_runs_of_a_process_that_died_can_be_taken_up(tiny, digits, runs):
    code = f"""
        import os
        from pathlib import Path
        from core.dataset import loader
        from core.runs import store, writing
        from core.settings.config import RunConfig
        images = loader.load(Path({str(digits.folder)!r}))
        for _ in range(2):
            writing.create({tiny!r}, images, Path({str(runs)!r})).wait()
        print([str(run.status) for run in store.list_runs(Path({str(runs)!r}))], flush=True)
        os._exit(9)
    """
    assert ended(code) == "['queued', 'queued']\n"
    found = store.list_runs(runs)
    assert [run.status for run in found] == ["interrupted"] * 2
    with writing.reopen(found[0], digits) as writer:
        assert "waiting" not in os.listdir(writer.folder)
    store.delete(found[1].folder)
    assert not list(runs.glob(".queue-*"))


def test_a_mark_leads_out_of_no_folder(writer, tmp_path):
    writer.close()
    (tmp_path / "elsewhere").touch()
    for name in ("../elsewhere", "", "x" * 5000, ".queue-zz.lock"):
        (writer.folder / locks.MARK).write_text(name)
        assert not locks.is_locked(writer.folder)
    locks.locked(writer.folder).release()
    assert (tmp_path / "elsewhere").exists()


def test_a_run_that_was_taken_away_meanwhile_is_left_alone(writer, digits):
    writer.wait()
    (writer.folder / locks.MARK).unlink()  # by hand
    with writing.reopen(store.read(writer.folder), digits), pytest.raises(StoreError, match="another process"):
        writer.take_turn()


def test_too_many_open_files_are_named_with_their_remedy(tiny, digits, runs):
    """Where no file can be opened any more, no run is taken for interrupted, and nobody is told to free space."""
    with writing.create(tiny, digits, runs) as writer:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        opened = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 2, hard))
        try:
            with suppress(OSError):
                while True:
                    opened.append(open(os.devnull))  # noqa: SIM115
            with pytest.raises(StoreError, match=r"ulimit -n 4096"):
                writer.update(status="running")
            with pytest.raises(OSError, match="Too many open files"):
                locks.is_locked(writer.folder)
            said = store.read(writer.folder)
        finally:
            for file in opened:
                file.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert said.status == "damaged"
    assert "ulimit -n 4096" in said.error


def test_three_hundred_waiting_runs_with_256_handles(tiny, digits, runs):
    code = f"""
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
        from pathlib import Path
        from core import control
        from core.dataset import loader
        from core.runs import store
        from core.runs.queue import queue
        from core.settings.config import RunConfig
        runs = Path({str(runs)!r})
        images = loader.load(Path({str(digits.folder)!r}))
        import threading
        hold = threading.Event()
        queue().submit("before", lambda control: iter([hold.wait()]))
        for _ in range(300):
            control.begin({tiny!r}, images, runs)
        found = store.list_runs(runs)
        print(len(found), {{str(run.status) for run in found}}, len(queue().names()), flush=True)
        for run in found[1:]:
            control.stop(run)
        hold.set()
        assert queue().join(120)
        print({{str(run.status) for run in store.list_runs(runs)[1:]}}, store.list_runs(runs)[0].status)
    """
    assert ended(code) == "300 {'queued'} 301\n{'stopped'} done\n"
