"""How a run gets its turn in this process's queue: it waits, is trained, gives way to others, or is dropped."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial

from core import race, workers
from core.dataset.loader import DataSet
from core.learning import memory
from core.learning.events import StepDone
from core.learning.states import Control, Request, Status
from core.runs import store, writing
from core.runs.files import StoreError
from core.runs.queue import Closed, queue
from core.runs.writing import RunWriter

Train = Callable[[RunWriter, DataSet, Control], Iterator]  # trains a run, as core/experiment.py: run does
LONGEST_TURN = 300.0  # seconds that a student's run is trained while others wait


def submit(writer: RunWriter, images: DataSet, train: Train | None = None) -> None:
    """Puts a run into the queue; without `train` it is trained to its end. Raises StoreError or Closed."""
    try:
        writer.wait()
    except BaseException:
        writer.close()
        raise
    enqueue(writer, images, train or (fairly if writer.record.owner else whole))


def submit_all(writers: Sequence[RunWriter], images: DataSet) -> None:
    """Puts the runs of a race, which wait already, into the queue. Raises Closed, all that are not in it dropped."""
    waiting = list(writers)
    try:
        while waiting:
            enqueue(waiting.pop(0), images, in_turns)
    finally:
        for writer in waiting:
            _drop(writer, Request.LEAVE)


def enqueue(writer: RunWriter, images: DataSet, train: Train) -> None:
    """Puts a run that waits already into the queue. Raises Closed, the run dropped."""
    watched = workers.wanted() > 0 and train in (whole, fairly)
    start = partial(_watched, writer, images) if watched else partial(_train, writer, images, train)
    try:
        queue().submit(
            writer.id,
            start,
            told=lambda request: writer.announce(request.heard),
            dropped=lambda request: _drop(writer, request),
            asked=writer.requested,
            owner=writer.record.owner,
            alone=not watched,
        )
    except Closed:
        _drop(writer, Request.LEAVE)
        raise


def _watched(writer: RunWriter, images: DataSet, control: Control) -> Iterator:
    """Has a run trained in a process of its own; a student's run gives way as in `fairly`."""
    end, owner = math.inf, writer.record.owner
    gave_way = False

    def over() -> bool:
        nonlocal gave_way, end
        if owner and end == math.inf and store.read(writer.folder).status == Status.RUNNING:
            end = time.monotonic() + LONGEST_TURN  # what comes before does not count, or a turn might bring nothing
        gave_way = gave_way or (bool(owner) and time.monotonic() > end and _others_wait(owner))
        return gave_way

    yield from workers.train(writer, images, control, over)
    run = store.read(writer.folder)
    if gave_way and run.status == Status.PAUSED and not control():
        with suppress(Closed):
            submit(writing.reopen(run, images), images)


def _others_wait(owner: str) -> bool:
    now = queue().at_work()
    return any(each != owner for each in now.waiting)


def _train(writer: RunWriter, images: DataSet, train: Train, control: Control) -> Iterator:
    writer.take_turn()
    try:
        with writer:
            yield from train(writer, images, control)
            if writer.record.status == Status.QUEUED:
                _give_way(writer, images, control, train)
    finally:
        memory.give_back()  # what this run's feature maps took; until the next one it belongs to other programs


def whole(writer: RunWriter, images: DataSet, control: Control) -> Iterator:
    """Trains a run to its end."""
    from core import experiment  # here: the background thread waits for torch, the page does not

    return experiment.run(writer, images, control)


def one_step(writer: RunWriter, images: DataSet, control: Control) -> Iterator:
    """Trains a run for a single batch."""
    from core import experiment

    done: list[StepDone] = []
    for event in experiment.run(writer, images, lambda: control() or (Request.PAUSE if done else None)):
        if isinstance(event, StepDone):
            done.append(event)
        yield event


def in_turns(writer: RunWriter, images: DataSet, control: Control) -> Iterator:
    """Trains a run to the end of an epoch, if others wait."""
    return race.turn(writer, images, control, lambda: len(queue().names()) > 1)


def fairly(writer: RunWriter, images: DataSet, control: Control) -> Iterator:
    """Trains a student's run, which pauses in favour of others that wait when it has been trained for long."""
    from core import experiment

    end, over = math.inf, False

    def asked() -> Request | None:
        nonlocal over
        if request := control() or writer.requested():
            return request
        over = over or (time.monotonic() > end and _others_wait(writer.record.owner))
        return Request.PAUSE if over else None

    for event in experiment.run(writer, images, asked):
        if isinstance(event, StepDone):  # building the network does not count, or a turn might bring nothing
            end = min(end, time.monotonic() + LONGEST_TURN)
        yield event
    if over and writer.record.status == Status.PAUSED and not control():
        writer.update(status=Status.QUEUED)


def _give_way(writer: RunWriter, images: DataSet, control: Control, train: Train) -> None:
    """Puts a run whose turn is over to the end of the queue."""
    writer.wait()
    with suppress(Closed):  # then it is interrupted
        enqueue(writer, images, train)
        if request := control():  # it came after the last step, and would be forgotten
            (queue().stop if request == Request.STOP else queue().pause)(writer.id)


def _drop(writer: RunWriter, request: Request) -> None:
    """Ends a run before its turn."""
    writer.take_turn()
    try:
        with suppress(StoreError):  # on a full disk it reads as interrupted
            writer.update(status=request.ended)
    finally:
        writer.close()
