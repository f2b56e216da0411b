"""A small set in folders with CSVs, and a watch over what is written beside images."""

from pathlib import Path

import pytest

from tests.core.folders import write_set


@pytest.fixture
def small(tmp_path) -> Path:
    """Classes a and b with 3 training and 2 test images each."""
    return write_set(tmp_path / "small", {"a": 0, "b": 1})


@pytest.fixture
def nothing_is_written(tmp_path):
    """No test here writes into its folder after the set is read for the first time, and the lab never does."""
    yield
    assert not [path for path in tmp_path.rglob("*") if path.name in (".lock", "source.json", ".preparing")]
