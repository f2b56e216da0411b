"""A queue that is shut down after the test."""

import pytest

from core.runs.queue import RunQueue
from tests.core.runs.jobs import SOON


@pytest.fixture
def queue():
    made = RunQueue()
    yield made
    assert made.shutdown(SOON)
