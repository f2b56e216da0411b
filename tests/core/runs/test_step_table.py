"""steps.csv: a row every few steps, cut back to where a checkpoint left it."""

import numpy as np
import pytest

from core.learning.events import StepDone
from core.runs import store, writing
from core.runs.files import StoreError
from core.runs.step_table import ROWS_AN_EPOCH, StepTable
from tests.core.conftest import step


def test_every_step_of_a_short_epoch_has_a_row(writer):
    for number in (1, 2, 3):
        writer.steps.add(step(number, loss=number), seconds=number / 2)
    table = store.steps(store.read(writer.folder))
    assert table.columns.tolist() == ["epoch", "step", "seconds", "loss", "share"]
    assert table.step.tolist() == [1, 2, 3]
    assert table.loss.tolist() == [1, 2, 3]
    assert table.seconds.tolist() == [0.5, 1.0, 1.5]


def test_rows_of_a_long_epoch_are_means_of_several_steps(writer):
    for number in range(1, 251):  # every third, and the last
        writer.steps.add(step(number, 250, loss=number), seconds=0)
    table = store.steps(store.read(writer.folder))
    assert len(table) <= ROWS_AN_EPOCH
    assert table.step.tolist() == [*range(3, 250, 3), 250]
    assert table.loss.tolist() == [*np.arange(2.0, 249.0, 3), 250.0]
    assert table.share.to_numpy() == pytest.approx(table.loss / 3)


def test_what_no_step_can_tell_is_a_gap(writer):
    for number, share in enumerate((None, 2.0, None, 4.0, None, 5.0, None, None, None), start=1):
        writer.steps.add(StepDone(epoch=1, step=number, steps=300, loss=1.5, diagnostics={"share": share}), seconds=0)
        if number == 5:  # within a row
            state = writer.steps.state()
            writer.close()
            writer = writing.RunWriter(writer.folder)
            writer.steps.restore(state)
    writer.close()
    table = store.steps(store.read(writer.folder))  # a row for three steps
    assert table.loss.tolist() == [1.5, 1.5, 1.5]
    assert table.share.tolist() == pytest.approx([2.0, 4.5, float("nan")], nan_ok=True)


def test_steps_go_on_where_they_were(writer, digits):
    """What was written after the checkpoint is cut off; a row that had begun is finished."""
    whole = writing.create(store.read(writer.folder).config, digits, writer.folder.parent / "other")
    for number in range(1, 251):
        whole.steps.add(step(number, 250, loss=1 / number), seconds=number)
    for number in range(1, 109):  # the last row is that of step 108, but the state that of step 107
        if number == 108:
            state = writer.steps.state()
        writer.steps.add(step(number, 250, loss=1 / number), seconds=number)
    writer.close()
    with open(writer.folder / "steps.csv", "a") as file:
        file.write("1,111,9.0,0.")  # a kill within a line
    with writing.RunWriter(writer.folder) as again:
        again.steps.restore(state)
        assert len(store.steps(store.read(writer.folder))) == 35
        for number in range(108, 251):
            again.steps.add(step(number, 250, loss=1 / number), seconds=number)
    whole.close()
    assert (writer.folder / "steps.csv").read_bytes() == (whole.folder / "steps.csv").read_bytes()


def test_steps_that_are_lost_leave_a_gap(writer, digits):
    for number in (1, 2, 3):
        writer.steps.add(step(number), 0)
    state = writer.steps.state()
    for content in (b"", b"epoch,step\r\n", None):
        file = writer.folder / "steps.csv"
        file.unlink() if content is None else file.write_bytes(content)
        with writing.create(store.read(writer.folder).config, digits, writer.folder.parent) as again:
            again.steps.restore(state)
            again.steps.add(step(1, epoch=2), 0)
            assert store.steps(store.read(again.folder)).epoch.tolist() == [2]


def test_steps_that_cannot_be_written(writer):
    (writer.folder / "steps.csv").mkdir()
    with pytest.raises(StoreError, match=r"steps\.csv cannot be written"):
        writer.steps.add(step(1), 0)


def test_where_it_ended_is_checked(writer):
    writer.steps.add(step(1, 250, loss=2.0), 0)
    state = writer.steps.state()
    assert StepTable.checked(state)[1].now()["loss"] == 2.0
    for change in ({"rows": -1}, {"rows": "2"}, {"pending_counts": {}}, {"pending": {"loss": "2", "share": 1.0}}):
        with pytest.raises(ValueError, match=r"none|means|history"):
            StepTable.checked(state | change)
    with pytest.raises(ValueError, match="loss"):
        StepTable.checked(state, lambda name: (0, 1.5))
