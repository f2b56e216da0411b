"""Whose turn it is in the queue: students one after the other, the teacher first, and what runs beside what."""

from core.runs import queue as module
from core.runs.queue import RunQueue
from tests.core.runs.jobs import SOON, FakeRun


def test_students_take_turns_and_the_teacher_comes_first(queue):
    order = []
    first = FakeRun()
    queue.submit("first", first, owner="Anna")
    assert first.started.wait(SOON)

    def job(name):
        return lambda asked: iter([order.append(name)])

    for owner, count in (("Anna", 3), ("Bob", 3), ("Cleo", 1), ("", 2)):
        for number in range(count):
            queue.submit(f"{owner}{number}", job(f"{owner}{number}"), owner=owner)
    expected = ["0", "1", "Bob0", "Cleo0", "Anna0", "Bob1", "Anna1", "Bob2", "Anna2"]
    assert queue.names() == ["first", *expected]
    assert [queue.position(name) for name in expected] == list(range(1, 10))
    assert queue.at_work() == module.AtWork(("Anna",), ("", "", "Bob", "Cleo", "Anna", "Bob", "Anna", "Bob", "Anna"))
    assert (queue.count("Anna"), queue.count("Bob"), queue.count("nobody")) == (4, 3, 0)
    first.release()
    assert queue.join(SOON)
    assert order == expected


def test_who_comes_late_does_not_wait_for_all_of_another(queue):
    first = FakeRun()
    queue.submit("first", first, owner="Anna")
    assert first.started.wait(SOON)
    for number in range(3):
        queue.submit(f"Anna{number}", lambda asked: iter(()), owner="Anna")
    queue.submit("Bob", lambda asked: iter(()), owner="Bob")
    assert queue.names()[1] == "Bob"
    first.release()


def test_slots_run_jobs_beside_each_other_and_only_one_that_is_alone():
    queue = RunQueue(slots=2)
    jobs = {name: FakeRun() for name in ("alone", "alone too", "watches", "watches too")}
    for name, job in jobs.items():
        queue.submit(name, job, alone=name.startswith("alone"))
    assert jobs["alone"].started.wait(SOON)
    assert jobs["watches"].started.wait(SOON)
    assert not jobs["alone too"].started.is_set()
    assert [queue.position(name) for name in queue.names()] == [0, 0, 1, 2]
    jobs["watches"].release()
    assert jobs["watches too"].started.wait(SOON)  # "alone too" would come first, and may not
    assert not jobs["alone too"].started.is_set()
    assert queue.pause("watches too")
    jobs["alone"].release()
    assert jobs["alone too"].started.wait(SOON)
    for job in jobs.values():
        job.release()
    assert queue.join(SOON)
    assert jobs["watches too"].end == "pause"
