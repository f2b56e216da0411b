"""The command for deleted runs and data sets: trash."""

import sys

from core import control
from core.commands import Commands, Result, Wrong, runs_folder
from core.exchange import deleted
from core.runs import trash as basket


def add(commands: Commands) -> None:
    """Adds this group's command."""
    about = f"List what was deleted in the last {basket.DAYS} days, bring it back, or delete it for good."
    added = commands.add("trash", trash, about).runs()
    added.option("what", choices=("list", "restore", "empty"), help="restore needs a NAME, empty takes some or all")
    added.option("names", nargs="*", metavar="NAME", help="id of a run, or name of a data set, as list shows it")
    added.option("--yes", action="store_true", help="empty: do not ask")


def trash(options) -> Result:
    runs = runs_folder(options)
    if options.what == "list" and options.names:
        raise Wrong("trash list takes no NAME")
    if options.what == "restore" and not options.names:
        raise Wrong("trash restore needs a NAME; `python -m core trash list` shows them")
    chosen = [deleted.find(runs, name) for name in options.names] or deleted.listed(runs)
    if options.what == "restore":
        for each in chosen:
            control.bring_back(each)
    elif options.what == "empty" and chosen:
        if not options.yes and not _agreed(len(chosen)):
            chosen = []
        control.empty_trash(chosen)
    if not options.json:
        _print(options.what, chosen)
    return {"trash": [_row(each) for each in chosen], "done": options.what}, 0


def _agreed(count: int) -> bool:
    if not sys.stdin.isatty():
        raise Wrong("what is deleted for good cannot be brought back: add --yes")
    print(f"Delete {count} for good? [y/N] ", file=sys.stderr, end="")
    return input().strip().lower() in ("y", "yes")


def _row(each: deleted.Deleted) -> dict:
    facts = {"name": each.thrown.name, "kind": each.kind, "title": each.title, "owner": each.owner}
    return facts | {"days_left": each.thrown.days_left}


def _print(what: str, these: list[deleted.Deleted]) -> None:
    if not these:
        print("the trash is empty" if what == "list" else "nothing was changed")
    for each in these:
        told = {"list": f"{each.thrown.days_left} days left", "restore": "is back", "empty": "is deleted for good"}
        print(f"{each.thrown.name:48} {each.kind:8}  {told[what]}  {each.title}")
