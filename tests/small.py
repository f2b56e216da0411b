"""Imported first where processes for tests are forked from: what the libraries after it read. Nothing here is large."""

import os

os.environ.update({"NUMBA_DISABLE_JIT": "1", "OMP_NUM_THREADS": "1"})
