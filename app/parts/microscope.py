"""The microscope: some triplets or images of a run's latest step, and what the step changed."""

import html
from functools import partial

from app import cached, reading
from core.dataset.loader import DataError
from core.runs.files import StoreError
from core.runs.store import Run


def drawn(run: Run) -> str:
    """It as HTML; where something is missing, a line that says so."""
    try:
        found = cached.microscope(run, reading.moment(run), partial(reading.images_of, run))
    except (StoreError, DataError) as error:
        return f'<small class="lab-caption">Microscope: {html.escape(str(error))}</small>'
    none = "nothing to look at before the first step" if run.active else "this run keeps no step to look at"
    return found or f'<small class="lab-caption">Microscope: {none}.</small>'
