"""What several tests of core share."""

import pytest
import torch


@pytest.fixture(scope="module")
def one_thread():
    """Two threads on two busy cores wait for each other far longer than tiny tensors take to compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
