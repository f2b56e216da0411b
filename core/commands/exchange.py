"""Commands that take runs and data sets from one computer to another: export, import; and a lab report."""

from pathlib import Path

from core.commands import Commands, Result, Wrong, find_run, images_of, one_of, runs_folder
from core.commands.data import about
from core.exchange import downloads
from core.runs.files import StoreError, replacing


def add(commands: Commands) -> None:
    """Adds this group's commands."""
    added = commands.add("export", export, "Take a run, or one part of it, as a file.").run()
    added.option(
        "--as",
        dest="kind",
        default="run",
        type=one_of(downloads.DOWNLOADS, "kind of export"),
        metavar="KIND",
        help="; ".join(f"{name}: {kind.title}" for name, kind in downloads.DOWNLOADS.items()),
    ).out("where to (default: RUN.zip, RUN-history.csv, …)")
    added = commands.add(
        "report", report, "Write a lab report on runs: one HTML file, or a zip with all that is in it."
    )
    added.runs().data_of_run().option("run", nargs="+", metavar="RUN", help="ids of runs; latest is the newest")
    added.option("--out", type=Path, metavar="FILE", required=True, help="where to: FILE.html or FILE.zip")
    added = commands.add("import", bring_in, "Take in a run that was exported, or with --data a zip file of images.")
    added.option("file", type=Path, metavar="FILE", help="the zip file; it is checked and not trusted")
    added.data("take images into this new folder").runs()


def export(options) -> Result:
    run = find_run(options)
    file = options.out or Path(downloads.file_name(run, options.kind))
    _check_folder_of(file)
    content = downloads.content(run, options.kind)
    with replacing(file) as stream:
        stream.write(content)
    if not options.json:
        print(f"run {run.id}: {downloads.DOWNLOADS[options.kind].title} in {file}")
    return {"run": run.id, "kind": options.kind, "file": str(file)}, 0


def report(options) -> Result:
    """Writes the report, complete or not at all."""
    from core.exchange import report as lab

    if options.out.suffix.lower() not in (".html", ".zip"):
        raise Wrong(f"--out {options.out}: a report is a .html or a .zip file")
    _check_folder_of(options.out)
    runs = [find_run(options, name) for name in dict.fromkeys(options.run)]
    images = [images_of(run, options) for run in runs]
    packed = options.out.suffix.lower() == ".zip"
    content = lab.packed(runs, images) if packed else lab.page(runs, images).encode()
    with replacing(options.out) as stream:
        stream.write(content)
    if not options.json:
        print(f"the report on {', '.join(run.id for run in runs)} is in {options.out}")
    return {"runs": [run.id for run in runs], "file": str(options.out)}, 0


def _check_folder_of(file: Path) -> None:
    """Said at once, and not after the work."""
    if not file.parent.is_dir():
        raise StoreError(f"--out {file}: there is no folder {file.parent}; make it, or name another")


def bring_in(options) -> Result:
    from core.exchange import packed_runs, packed_sets

    if options.data:
        return about(packed_sets.read_data_set(options.file, options.data), options.json), 0
    run_id = packed_runs.read_run(options.file, runs_folder(options), packed_sets.data_sets())
    if not options.json:
        print(f"taken in as run {run_id}")
    return {"run": run_id}, 0
