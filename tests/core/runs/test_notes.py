"""Notes and tags are kept with the run."""

import pytest

from core.runs import notes, store
from core.runs.files import StoreError
from core.runs.notes import Note


@pytest.fixture
def run(writer):
    return store.read(writer.folder)


def test_a_note_is_found_again(run):
    assert notes.read(run) == notes.Notes()
    notes.save(run, "a", Note(" thin \n", ("blurred", "blurred", " my  own ", "")))
    notes.save(run, "b", Note("", ("blurred",)))
    notes.save_answer(run, "Why?", "Because.")
    found = notes.read(run)
    assert found.images == {"a": Note("thin", ("blurred", "my own")), "b": Note("", ("blurred",))}
    assert found.answers == {"Why?": "Because."}
    assert found.tag_counts() == {"blurred": 2, "my own": 1}
    assert notes.save(run, "a", Note()).images.keys() == {"b"}


@pytest.mark.parametrize("damaged", ["", "[1]", '{"images": {"a": 3}}', '{"images": {"a": {"text": 5}}}', "\xff"])
def test_a_damaged_file_is_named_and_left(run, damaged):
    file = run.folder / "notes.json"
    file.write_bytes(damaged.encode("latin-1"))
    for call in (lambda: notes.read(run), lambda: notes.save(run, "a", Note("x"))):
        with pytest.raises(StoreError, match=r"notes\.json cannot be read"):
            call()
    assert file.read_bytes() == damaged.encode("latin-1")


def test_too_long(run):
    with pytest.raises(StoreError, match="at most 4000"):
        notes.save(run, "a", Note("x" * 4001))
    with pytest.raises(StoreError, match="tags are too many"):
        notes.save(run, "a", Note("", tuple("abcdefghijklm")))
