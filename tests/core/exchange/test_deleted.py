"""The trash of runs and uploaded data sets."""

import pytest

from core import control
from core.classroom.roles import Actor, NotAllowed, Role
from core.exchange import deleted, packed_sets
from core.runs import store, trash, writing
from core.runs.files import StoreError
from tests.conftest import write_digits

ANNA, BOB = Actor(Role.STUDENT, "Anna"), Actor(Role.STUDENT, "Bob")


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """The folder of runs, and an uploaded data set of Anna's."""
    monkeypatch.setenv("TRIPLETLAB_UPLOADS", str(tmp_path / "uploads"))
    folder = tmp_path / "uploads" / "hers"
    write_digits(folder)
    packed_sets.give(folder, "Anna")
    return tmp_path / "runs", folder


def test_a_data_set_goes_and_comes_back(lab):
    runs, folder = lab
    with pytest.raises(NotAllowed, match="only Anna or the teacher can delete this data set"):
        control.delete_data(folder, runs, BOB)
    control.delete_data(folder, runs, ANNA)
    assert packed_sets.data_sets() == []
    (found,) = deleted.listed(runs)
    assert (found.kind, found.title, found.owner) == ("data set", "hers", "Anna")
    with pytest.raises(NotAllowed):
        control.bring_back(found, BOB)
    control.bring_back(deleted.find(runs, "hers"), ANNA)
    assert packed_sets.data_sets() == [folder]
    assert packed_sets.owner_of(folder) == "Anna"


def test_a_set_that_a_run_is_trained_on_stays(lab, tiny):
    runs, folder = lab
    with writing.create(tiny, control.loader.load(folder), runs), pytest.raises(StoreError, match="stop it first"):
        control.delete_data(folder, runs)
    control.delete_data(folder, runs)


def test_only_what_was_uploaded_is_thrown_away(lab, tmp_path):
    write_digits(tmp_path / "own")
    with pytest.raises(StoreError, match="by hand"):
        control.delete_data(tmp_path / "own", lab[0])
    assert (tmp_path / "own").exists()


def test_the_trash_is_emptied_as_a_whole_or_not(lab, tiny, digits):
    runs, folder = lab
    writing.create(tiny, digits, runs, owner="Bob").close()
    control.delete(store.list_runs(runs), BOB)
    control.delete_data(folder, runs, ANNA)
    both = deleted.listed(runs)
    with pytest.raises(NotAllowed):
        control.empty_trash(both, BOB)
    assert len(deleted.listed(runs)) == 2
    control.empty_trash([each for each in both if each.owner == "Bob"], BOB)
    assert [each.owner for each in deleted.listed(runs)] == ["Anna"]


def test_the_start_tidies_both(lab, tiny, digits, monkeypatch):
    runs, folder = lab
    writing.create(tiny, digits, runs).close()
    control.delete(store.list_runs(runs))
    control.delete_data(folder, runs)
    deleted.tidy(runs)
    assert len(deleted.listed(runs)) == 2
    monkeypatch.setattr(trash, "DAYS", -1)
    deleted.tidy(runs)
    assert deleted.listed(runs) == []
    with pytest.raises(StoreError, match="no 'hers' in the trash"):
        deleted.find(runs, "hers")
