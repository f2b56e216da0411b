"""What a student may take of a shared lab: refused in control, at the limit and not before it."""

import io
import threading

import pytest

from core import control
from core.classroom import codes, limits
from core.classroom.limits import MEGABYTE, LimitReached, Limits
from core.classroom.roles import TEACHER, Actor, Role
from core.exchange import packed_sets
from core.exchange.archives import UploadError
from core.runs import store, trash, writing
from core.runs.queue import queue
from core.runs.record import RunRecord
from core.settings.config import RunConfig
from core.settings.setting import ConfigError
from tests.conftest import write_digits

ANNA, BOB = Actor(Role.STUDENT, "Anna"), Actor(Role.STUDENT, "Bob")
SOON = 60  # seconds


@pytest.fixture
def busy(tmp_path):
    """A folder of runs, while something else is trained until the test ends."""
    free = threading.Event()
    queue().submit("first", lambda asked: iter(free.wait, True))
    yield tmp_path
    for name in queue().names():
        if name != "first":
            queue().stop(name)
    free.set()
    assert queue().join(SOON)


def test_three_runs_at_a_time(busy, digits, tiny):
    for _ in range(3):
        control.begin(tiny, digits, busy, actor=ANNA)
    with pytest.raises(LimitReached, match="3 of your runs wait or are trained; a student has at most 3 at a time"):
        control.begin(tiny, digits, busy, actor=ANNA)
    assert len(store.list_runs(busy)) == 3
    control.begin(tiny, digits, busy, actor=BOB)  # another one can
    for _ in range(4):
        control.begin(tiny, digits, busy, actor=TEACHER)
    control.stop(next(run for run in store.list_runs(busy) if run.owner == "Anna"), ANNA)
    control.begin(tiny, digits, busy, actor=ANNA)


def test_many_clicks_at_one_moment_get_no_more(busy, digits, tiny):
    refused = []

    def click():
        try:
            control.begin(tiny, digits, busy, actor=ANNA)
        except LimitReached as error:
            refused.append(error)

    threads = [threading.Thread(target=click) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(refused), len(store.list_runs(busy))) == (5, 3)


def test_a_race_counts_its_lanes_and_resuming_counts(busy, digits, tiny):
    small = {"blocks": (1, 1), "width": 8, "embedding_size": 8, "epochs": 1}
    control.begin(tiny, digits, busy, actor=ANNA)
    with pytest.raises(LimitReached, match="these are 3"):
        control.begin_race(
            "facenet-semi-hard", {"selection": ["all", "semi_hard", "batch_hard"]}, 1, digits, busy, ANNA, **small
        )
    assert len(store.list_runs(busy)) == 1
    for _ in range(2):
        control.begin(tiny, digits, busy, actor=ANNA)
    writing.create(tiny, digits, busy, owner="Anna").close()
    run = store.list_runs(busy)[0]
    for ask in (control.resume, control.one_step):
        with pytest.raises(LimitReached):
            ask(run, digits, actor=ANNA)
    assert store.read(run.folder).status == "interrupted"


def test_epochs_and_size(busy, digits, tiny):
    with pytest.raises(ConfigError, match="60 is the most in this class") as refused:
        control.begin(tiny.changed(epochs=61), digits, busy, actor=ANNA)
    assert refused.value.setting == "epochs"
    large = RunConfig(blocks=(2, 2, 2), width=128, batch_size=512, triplets=512)
    with pytest.raises(ConfigError, match="3 GB is the most in this class; lower"):
        control.begin(large, digits, busy, actor=ANNA)
    control.begin(tiny.changed(epochs=61), digits, busy)
    writing.create(tiny, digits, busy, owner="Anna").close()
    with pytest.raises(ConfigError, match="60 is the most"):
        control.resume(store.list_runs(busy)[0], digits, add_epochs=60, actor=ANNA)


def test_disk(busy, digits, tiny, monkeypatch):
    control.begin(tiny, digits, busy, actor=ANNA)
    folder = store.list_runs(busy)[0].folder
    with open(folder / "last.pt", "wb") as file:
        file.truncate(2 * 10**9 + 1)  # takes no room
    with pytest.raises(LimitReached, match=r"your runs take 2.0 of 2 GB"):
        control.begin(tiny, digits, busy, actor=ANNA)
    control.begin(tiny, digits, busy, actor=BOB)
    monkeypatch.setattr(trash, "free", lambda folder: 10**9)
    with pytest.raises(LimitReached, match="less than 2 GB are left"):
        control.begin(tiny, digits, busy, actor=BOB)
    control.begin(tiny, digits, busy)


def test_uploads(busy, monkeypatch):
    monkeypatch.setenv("TRIPLETLAB_RUNS", str(busy))
    monkeypatch.setenv("TRIPLETLAB_UPLOADS", str(busy / "uploads"))
    large = io.BytesIO(bytes(60 * MEGABYTE + 1))
    for ask in (lambda: control.bring_in_run(large, busy, [], ANNA), lambda: control.bring_in_data(large, "a", ANNA)):
        with pytest.raises(LimitReached, match="60 MB is the most"):
            ask()
    for name in "abc":
        write_digits(busy / "uploads" / name)
        packed_sets.give(busy / "uploads" / name, "Anna")
    with pytest.raises(LimitReached, match="3 data sets, and 3 is the most"):
        control.bring_in_data(io.BytesIO(), "d", ANNA)
    with pytest.raises(UploadError):  # as a file, not as one too many
        control.bring_in_data(io.BytesIO(), "d", BOB)


def test_the_teacher_changes_them_in_the_file(busy, digits, tiny):
    codes.read(busy)
    file = busy / ".class" / "class.json"
    file.write_text(file.read_text().replace('"runs": 3', '"runs": 1'))
    control.begin(tiny, digits, busy, actor=ANNA)
    with pytest.raises(LimitReached, match="at most 1 at a time"):
        control.begin(tiny, digits, busy, actor=ANNA)
    codes.new_codes(busy)
    assert codes.read(busy).limits == Limits(runs=1)


def test_a_lab_that_is_not_shared_has_none(tmp_path):
    assert control.limits_of(TEACHER, tmp_path) is None
    assert not (tmp_path / ".class").exists()


def test_the_size_on_the_disk_counts_every_file(tmp_path, digits, tiny):
    with writing.create(tiny, digits, tmp_path, owner="Anna") as writer:
        (writer.folder / "embeddings").mkdir()
        (writer.folder / "embeddings" / "one").write_bytes(bytes(5 * 10**6))
    assert limits.disk_used(tmp_path, "Anna") == pytest.approx(0.005, rel=0.05)
    assert limits.disk_used(tmp_path, "Bob") == 0
    assert RunRecord.read(writer.folder / "run.json").owner == "Anna"
