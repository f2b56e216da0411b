"""The commands of `python -m core`, a file for each group of them.

A new command is a function (options) -> (what --json prints, exit status) in the file of its group, and a few lines in
that file's `add`, which name it, its help and its options. A new group is a file and a name in `GROUPS`.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import NoReturn, TextIO

from core import places
from core.dataset import bar
from core.dataset.loader import DataSet, load
from core.runs import store
from core.runs.store import Run
from core.settings.words import nearest

GROUPS = ("data", "training", "racing", "runs", "looking", "watching", "explaining", "maps", "trying", "exchange")
GROUPS += ("classroom", "trash")
Result = tuple[dict, int]


class Wrong(ValueError):
    """A command line that cannot be understood, in one line."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, raised as Wrong."""

    def error(self, message: str) -> NoReturn:
        """Called by argparse for what it does not understand."""
        raise Wrong(message.removeprefix("argument --set: "))


class Commands:
    """The commands, by name, and the parser that knows them all."""

    def __init__(self):
        self.parser = Parser(prog="python -m core", description="TripletLab without the browser.")
        self._added = self.parser.add_subparsers(metavar="COMMAND")
        self.names: list[str] = []
        for group in GROUPS:
            import_module(f"core.commands.{group}").add(self)

    def add(self, name: str, function: Callable, help: str, epilog: str | None = None) -> "Command":
        """A new command."""
        self.names.append(name)
        formatter = argparse.RawDescriptionHelpFormatter
        parser = self._added.add_parser(name, help=help, description=help, epilog=epilog, formatter_class=formatter)
        added = Command(parser)
        parser.set_defaults(command=function, known=added.options)
        return added.option("--json", action="store_true", help="print the result as one JSON object")

    def parse(self, arguments: list[str]) -> argparse.Namespace:
        """The options of a command line. Raises Wrong, with the nearest right word where there is one."""
        first = next((word for word in arguments if not word.startswith("-")), None)
        if first is not None and first not in self.names:
            raise Wrong(f"there is no command {first!r}{nearest(first, self.names)}")
        options, unknown = self.parser.parse_known_args(arguments)
        if first is None:
            raise Wrong(f"the following arguments are required: COMMAND; there are {', '.join(self.names)}")
        if unknown:
            raise Wrong(f"{first} has no option {unknown[0]!r}{nearest(unknown[0], options.known)}")
        return options


class Command:
    """A command's options."""

    def __init__(self, parser: argparse.ArgumentParser):
        self._parser = parser
        self.options: list[str] = []

    def option(self, name: str, **facts) -> "Command":
        """An option, or an argument without dashes, as argparse's add_argument takes it."""
        self._parser.add_argument(name, **facts)
        if name.startswith("-"):
            self.options.append(name)
        return self

    def data(self, help: str = "the data set (default: mnist/)") -> "Command":
        """The option --data."""
        return self.option("--data", type=Path, metavar="DIR", help=help)

    def data_of_run(self) -> "Command":
        """The option --data of a command that needs the images of a run."""
        return self.data("where the run's images are now (default: where they were)")

    def runs(self) -> "Command":
        """The option --runs."""
        return self.option("--runs", type=Path, metavar="DIR", help="the folder of runs (default: checkpoints/)")

    def run(self) -> "Command":
        """The argument RUN and the option --runs."""
        return self.option("run", metavar="RUN", help="id of a run, or latest").runs()

    def out(self, help: str, metavar: str = "FILE") -> "Command":
        """The option --out."""
        return self.option("--out", type=Path, metavar=metavar, help=help)


def one_of(known: Iterable[str], what: str) -> Callable[[str], str]:
    """The type of an argument that is one of these words; `what` says what they are, e.g. "preset"."""
    known = list(known)

    def checked(word: str) -> str:
        if word not in known:
            raise argparse.ArgumentTypeError(f"there is no {what} {word!r}{nearest(word, known)}")
        return word

    return checked


def positive(text: str) -> int:
    """The type of an argument that counts something."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def say(text: str) -> None:
    """A line for people on standard error."""
    try:
        print(text, file=sys.stderr, flush=True)
    except BrokenPipeError:  # no reason to end a training
        silence(sys.stderr)
    except RuntimeError:  # Ctrl-C came while another line was being written: a stream cannot be entered twice
        os.write(sys.stderr.fileno(), f"{text}\n".encode(errors="replace"))


def silence(stream: TextIO) -> None:
    """Lets a stream that nobody reads any more swallow the rest; otherwise Python would complain when it closes it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def runs_folder(options: argparse.Namespace) -> Path:
    """The folder of runs that --runs names, or the lab's."""
    return options.runs or places.runs_folder()


def find_run(options: argparse.Namespace, name: str | None = None) -> Run:
    """The run of this name, or the one that the argument RUN names. Raises StoreError."""
    return store.find(runs_folder(options), name or options.run)


def images_of(run: Run, options: argparse.Namespace) -> DataSet:
    """The images that a run was trained on, from --data or from where they were. Raises DataError or StoreError."""
    with bar.reading() as reading:
        if not options.data:
            return store.data_of(run, reading)
        images = load(options.data, reading)
    return store.as_learnt(run, images)
