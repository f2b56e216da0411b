"""Data, networks, training, evaluation and runs. Sets here what NumPy and PyTorch read when they are loaded, later."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads starve each other on busy cores
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # large tensors in pages of 2 MB, where the system has them
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy's other threads spin for 25 ms after each of its products
