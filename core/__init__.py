"""Data, networks, training, evaluation and runs. Sets here what PyTorch reads when it is loaded, which is later."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads starve each other on busy cores
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # large tensors in pages of 2 MB, where the system has them
