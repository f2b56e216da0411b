"""Imported last by the process that others are forked from, see processes.py: what has been imported is skipped by the
collections of garbage that Streamlit asks for after each drawing.
"""

import gc

gc.freeze()
