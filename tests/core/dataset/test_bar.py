"""The bar is for people who wait at a terminal, and for nobody else."""

import io

import pytest
import tqdm

from core.dataset import bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def at_once(monkeypatch):
    """As if a second had gone by."""
    plain = tqdm.tqdm
    monkeypatch.setattr(tqdm, "tqdm", lambda *, delay, **options: plain(mininterval=0, **options))


def shown(monkeypatch, stream: io.StringIO) -> str:
    monkeypatch.setattr("sys.stderr", stream)
    with bar.reading() as show:
        for done in (0, 300, 700, 1000):
            show(done, 1000)
    return stream.getvalue()


def test_on_a_terminal(monkeypatch, at_once):
    text = shown(monkeypatch, Terminal())
    assert "reading the images:  30%" in text
    assert "700/1000" in text
    assert text.rstrip(" ").endswith("\r")  # gone at the end


def test_nothing_in_a_file(monkeypatch, at_once):
    assert shown(monkeypatch, io.StringIO()) == ""


def test_nothing_for_what_takes_a_moment(monkeypatch):
    assert shown(monkeypatch, Terminal()).strip() == ""
