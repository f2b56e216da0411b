"""A table that grows is read once, and is at any moment what a whole reading gives."""

import os
import threading

import pandas as pd
import pytest

from core.runs import checks, growing, store
from core.runs.files import StoreError, replacing
from tests.core.conftest import step

COLUMNS = ("epoch", "loss")
HEAD = b"epoch,loss,share\r\n"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "steps.csv"


def whole(file) -> pd.DataFrame:
    content = file.read_bytes()
    return checks.checked_numbers(content[: content.rfind(b"\n") + 1].decode().removesuffix("\n"), COLUMNS)


def same(file) -> None:
    pd.testing.assert_frame_equal(growing.read(file, COLUMNS), whole(file))


def test_however_it_grows_it_is_the_whole_table(file):
    content = HEAD + b"".join(b"%d,%.2f,%s\r\n" % (n, n / 7, b"" if n % 3 else b"0.5") for n in range(60))
    file.touch()
    for place in range(0, len(content), 7):
        with open(file, "ab") as stream:
            stream.write(content[place : place + 7])
        same(file)
    assert len(growing.read(file, COLUMNS)) == 60


def test_only_what_is_new_is_parsed(file, monkeypatch):
    parsed = []
    check = checks.checked_numbers
    monkeypatch.setattr(growing, "checked_numbers", lambda lines, *more: parsed.append(lines) or check(lines, *more))
    file.write_bytes(HEAD + b"1,2.5,\r\n" * 1000)
    for _ in range(3):
        assert len(growing.read(file, COLUMNS)) == 1000
    with open(file, "ab") as stream:
        stream.write(b"2,1.5,0\r\n")
    assert len(growing.read(file, COLUMNS)) == 1001
    assert [lines.count("\n") for lines in parsed] == [1000, 1]


def test_a_table_that_was_cut_replaced_or_rewritten_is_read_anew(file):
    file.write_bytes(HEAD + b"1,2.5,\r\n" * 100)
    same(file)
    with replacing(file) as stream:  # as StepTable.restore does
        stream.write(HEAD + b"1,2.5,\r\n" * 120)
    same(file)
    os.truncate(file, len(HEAD) + 8 * 50)
    same(file)
    with open(file, "r+b") as stream:
        stream.seek(len(HEAD) + 8 * 49)
        stream.write(b"1,9.5,\r\n3,3.5,\r\n")
    same(file)
    file.unlink()
    assert growing.read(file, COLUMNS).empty


def test_who_adds_a_column_does_not_change_the_table_of_others(file):
    file.write_bytes(HEAD + b"1,2.5,\r\n")
    mine = growing.read(file, COLUMNS)
    mine["more"] = 1
    mine.loc[0, "loss"] = 7
    same(file)


def test_a_bad_line_is_named_by_its_place_in_the_file_and_again(file):
    file.write_bytes(HEAD + b"1,2.5,\r\n" * 9)
    same(file)
    with open(file, "ab") as stream:
        stream.write(b"1,x,\r\n")
    for _ in range(2):
        with pytest.raises(ValueError, match="line 11, loss: 'x' makes no sense"):
            growing.read(file, COLUMNS)


def test_many_who_look_at_once_see_whole_tables(writer):
    ended, errors = threading.Event(), []
    run = store.read(writer.folder)

    def look() -> None:
        before = 0
        try:
            while not ended.is_set():
                steps = store.steps(run)
                assert len(steps) >= before
                assert steps.empty or steps["step"].tolist() == list(range(1, len(steps) + 1))
                before = len(steps)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=look) for _ in range(6)]
    for thread in threads:
        thread.start()
    for number in range(1, 301):
        writer.steps.add(step(number, steps=100), number / 10)
    ended.set()
    for thread in threads:
        thread.join(30)
    assert errors == []
    assert len(store.steps(run)) == 300


def test_what_is_no_file_is_refused(writer):
    (writer.folder / "steps.csv").mkdir()
    with pytest.raises(StoreError, match="not a file"):
        store.steps(store.read(writer.folder))
