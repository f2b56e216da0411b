"""The order in which the runs of a folder were begun: a number that each gets, whatever the clock says."""

from contextlib import suppress
from datetime import datetime
from pathlib import Path

from core.runs import store
from core.runs.checks import read_json

MOST_RUNS = 10**9  # in a folder; a higher number was not given by the lab


def next_number(runs: Path) -> int:
    """One more than that of any run in the folder; runs that cannot be read count for nothing."""
    highest = 0
    for file in runs.glob("[!.]*/run.json"):
        with suppress(OSError, ValueError, RecursionError, AttributeError):
            number = read_json(file).get("number")
            if type(number) is int and 0 < number < MOST_RUNS:
                highest = max(highest, number)
    return highest + 1


def number_at(runs: Path, moment: datetime) -> int:
    """The number of the last run that was begun before a moment."""
    return max((run.number for run in store.list_runs(runs) if run.created <= moment), default=0)
