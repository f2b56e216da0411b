"""Imported first by the process that others are forked from, see processes.py: the libraries after it read this."""

import os

from tests.processes import SMALL

os.environ.update(SMALL)
