"""Commands for the list of runs: runs, rename, archive, delete."""

from core.commands import Commands, Result, find_run, runs_folder
from core.runs import store, trash
from core.runs.checks import LONGEST_NAME


def add(commands: Commands) -> None:
    """Adds this group's commands."""
    added = commands.add("rename", rename, "Give a run a name.").run()
    added.option("name", metavar="NAME", help=f"1 to {LONGEST_NAME} characters")
    commands.add("archive", archive, "Put a run away; nothing is deleted.").run().option(
        "--undo", action="store_true", help="bring it back"
    )
    commands.add("delete", delete, f"Move a run into the trash, for {trash.DAYS} days.").run()
    commands.add("runs", runs, "List the runs, newest first.").runs()


def rename(options) -> Result:
    run = find_run(options)
    store.rename(run, options.name)
    name = store.read(run.folder).name
    if not options.json:
        print(f"run {run.id} is now called {name}")
    return {"run": run.id, "name": name}, 0


def archive(options) -> Result:
    run = find_run(options)
    store.archive(run, not options.undo)
    if not options.json:
        print(f"run {run.id} is {'back' if options.undo else 'archived'}")
    return {"run": run.id, "archived": not options.undo}, 0


def delete(options) -> Result:
    """A damaged run can be deleted as well, but only by its id."""
    latest = options.run == "latest"
    folder = find_run(options).folder if latest else store.folder_of(runs_folder(options), options.run)
    store.throw_away(folder)
    if not options.json:
        print(f"run {folder.name} is in the trash for {trash.DAYS} days; python -m core trash restore {folder.name}")
    return {"run": folder.name, "deleted": True}, 0


def runs(options) -> Result:
    found = [
        {
            "run": run.id,
            "status": run.status,
            "preset": run.config.preset if run.config else None,
            "test_accuracy": run.result and run.result.test_accuracy,
            "title": run.title,
            "archived": run.archived,
        }
        for run in store.list_runs(runs_folder(options))
    ]
    if not options.json:
        for run in found:
            accuracy = "" if run["test_accuracy"] is None else f"{run['test_accuracy']:.2%}"
            title = f"{run['title']} (archived)" if run["archived"] else run["title"]
            print(f"{run['run']:48} {run['status']:12} {accuracy:>8}  {title}")
    return {"runs": found}, 0
