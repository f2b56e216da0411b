"""A bar on a terminal while images are read."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from core.dataset.images import Reading


@contextmanager
def reading() -> Iterator[Reading]:
    """The `progress` of data.load: a bar on standard error if that is a terminal and reading takes a second."""
    from tqdm import tqdm

    only_on_a_terminal = {"disable": None, "file": sys.stderr}
    with tqdm(desc="reading the images", unit="image", delay=1, leave=False, **only_on_a_terminal) as bar:

        def show(done: int, total: int):
            bar.total = total
            bar.update(done - bar.n)

        yield show
