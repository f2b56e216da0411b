"""Signals of a command that trains."""

import io
import signal
import sys

import pytest

from core.commands import say
from core.commands.training import listening
from core.learning.states import Request


class Interrupted(io.RawIOBase):
    """A terminal at which Ctrl-C is pressed while a line is being written."""

    def __init__(self, file):
        super().__init__()
        self.file, self.written = file, b""

    def fileno(self) -> int:
        return self.file.fileno()

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        if not self.written:
            signal.raise_signal(signal.SIGINT)
        self.written += bytes(data)
        return len(data)


def test_a_signal_in_the_middle_of_a_line_ends_no_training_with_an_error(monkeypatch, tmp_path):
    file = (tmp_path / "told").open("wb")
    terminal = Interrupted(file)
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BufferedWriter(terminal), write_through=True))
    with listening("stopping after this step", on_interrupt=Request.STOP) as wishes:
        say("epoch 1/2")
        assert wishes == [Request.STOP]
        assert b"epoch 1/2" in terminal.written
        with pytest.raises(KeyboardInterrupt):  # the second one does not wait
            signal.raise_signal(signal.SIGINT)
    file.close()
    assert (tmp_path / "told").read_text() == "\nstopping after this step\n"
