"""Imported last by the process that others are forked from, see processes.py: a collection of garbage, as Streamlit asks
for after each drawing, skips all that has been imported.
"""

import gc

gc.freeze()
