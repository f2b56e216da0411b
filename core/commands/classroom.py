"""The command for a class that shares the lab: class."""

from core.classroom import codes
from core.commands import Commands, Result, Wrong, runs_folder


def add(commands: Commands) -> None:
    """Adds this group's command."""
    added = commands.add(
        "class", classroom, "Show the codes of the class, change them, or free a student's name."
    ).runs()
    added.option("what", choices=("codes", "new-code", "free"), help="codes shows them, new-code changes both")
    added.option("name", nargs="?", metavar="NAME", help="free: the student who needs the name in another browser")


def classroom(options) -> Result:
    """Codes are shown to whoever can read the folder of runs; nobody else has this command."""
    runs = runs_folder(options)
    if (options.what == "free") != bool(options.name):
        raise Wrong("class free needs the NAME of a student" if options.what == "free" else "only free takes a NAME")
    if options.what == "free":
        codes.free_name(runs, options.name)
    group = codes.new_codes(runs) if options.what == "new-code" else codes.read(runs)
    shown = {"class_code": codes.spelled(group.class_code), "teacher_code": codes.spelled(group.teacher_code)}
    if not options.json:
        if options.what == "free":
            print(f"the name {options.name} can be taken anew")
        else:
            print(f"class code      {shown['class_code']}\nteacher's code  {shown['teacher_code']}")
    return shown | {"students": sorted(group.students)}, 0
