"""Who may import whom, read from the source: the rules that keep `core` readable without Streamlit or a thread."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from core.settings.choices import ARCHITECTURES, OBJECTIVES

ROOT = Path(__file__).parents[1]
CORE = sorted((ROOT / "core").rglob("*.py"))
APP = sorted((ROOT / "app").rglob("*.py"))
BENCHMARKS = sorted((ROOT / "benchmarks").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
VIEWS = sorted((ROOT / "app" / "views").rglob("*.py"))
# Each part of core may import itself and those before it, never those after
CHAPTERS = ["places", "settings", "dataset", "networks", "analysis", "learning", "runs", "classroom", "untrained"]
CHAPTERS += ["maps", "classifying", "evaluation", "recorder", "experiment", "measuring", "replay", "rate_finding"]
CHAPTERS += ["race", "workers", "turns", "exchange", "control", "commands", "__main__"]
STRANGERS = [("dataset", "networks"), ("networks", "dataset")]  # do not know each other, whatever the order


def imports(file: Path) -> set[str]:
    """Full names of all modules and names that a file imports anywhere, e.g. core.places.ROOT and core.places."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}, line {node.lineno}: a relative import"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def from_package(file: Path, *packages: str) -> set[str]:
    return {name for name in imports(file) if name.split(".")[0] in packages}


def attributes_of(file: Path, owner: str) -> set[str]:
    """`x` of every `owner.x` in the code of a file."""
    return {
        node.attr
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == owner
    }


def name(file: Path) -> str:
    return str(file.relative_to(ROOT))


def chapter(module: str) -> str:
    """The part of core that a full name such as core.runs.store.Run belongs to; empty for core itself."""
    return module.split(".")[1] if "." in module else ""


def wrong_imports(file: Path, root: Path) -> set[str]:
    """What a file of core imports although the order of the chapters, or their not knowing each other, forbids it."""
    own = file.relative_to(root / "core").parts[0].removesuffix(".py")
    if own == "__init__":
        return from_package(file, "core")
    before = CHAPTERS[: CHAPTERS.index(own) + 1]
    before = [each for each in before if (own, each) not in STRANGERS]
    return {each for each in from_package(file, "core") if each != "core" and chapter(each) not in before}


def found(files: Iterable[Path], rule: Callable[[Path], Collection]) -> dict[str, Collection]:
    """What a rule finds, by the file that breaks it."""
    return {name(file): broken for file in files if (broken := rule(file))}


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """What a fresh interpreter has loaded once it has imported all that pages read with."""
    modules = [
        module_name(file) for each in ("settings", "dataset", "runs") for file in (ROOT / "core" / each).glob("*.py")
    ]
    modules += ["core.control", "core.analysis.mistakes", "core.exchange.pictures", "core.exchange.packed_runs"]
    code = f"import importlib, sys; [importlib.import_module(name) for name in {modules}]; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return {each.split(".")[0] for each in done.stdout.split()}


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_the_files_are_there():
    assert len(CORE) > 30
    parts = {file.relative_to(ROOT / "core").parts[0].removesuffix(".py") for file in CORE} - {"__init__"}
    assert parts <= set(CHAPTERS)
    assert len(VIEWS) > 3
    assert {"app/session.py", "app/cached.py", "app/main.py"} <= {name(file) for file in APP}


def test_the_document_names_the_chapters_in_their_order():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `(\w+)(?:\.py|/)` \|", text, re.MULTILINE)
    assert [*named, "__main__"] == CHAPTERS


def test_core_knows_neither_streamlit_nor_app():
    assert not found(CORE, lambda file: from_package(file, "streamlit", "app", "plotly"))


def test_chapters_import_upwards_only():
    assert not found(CORE, lambda file: wrong_imports(file, ROOT))


def test_benchmarks_and_tests_do_not_use_each_other():
    """Only the tests of the benchmarks import them."""
    assert not found(BENCHMARKS, lambda file: from_package(file, "tests"))
    using = found(TESTS, lambda file: from_package(file, "benchmarks"))
    assert set(using) <= {"tests/test_benchmarks.py", "tests/test_documents.py"}


def test_a_wrong_import_in_any_folder_is_found(tmp_path):
    """The rules above see what is deep inside, in a function as well."""
    file = tmp_path / "core" / "dataset" / "deep" / "bad.py"
    file.parent.mkdir(parents=True)
    file.write_text("import streamlit\ndef later():\n    from core import control\n    import core.networks.build\n")
    assert sorted((tmp_path / "core").rglob("*.py")) == [file]
    assert from_package(file, "streamlit") == {"streamlit"}
    assert wrong_imports(file, tmp_path) == {"core.control", "core.networks.build"}


def test_what_is_imported_is_required():
    """What `make run` installs is enough: a package that only the tests' requirements name would be missing there."""
    needed = {each.split("~")[0].split(">")[0] for each in (ROOT / "requirements.txt").read_text().split()}
    brought = {"starlette": "streamlit", "pydantic_core": "pydantic"}  # parts of a required package
    known, modules = (
        packages_distributions(),
        {module.split(".")[0] for file in [*CORE, *APP] for module in imports(file)},
    )
    foreign = modules - set(sys.stdlib_module_names) - {"core", "app"}
    assert len(foreign) > 10
    assert not [each for each in foreign if not {brought.get(each), *known.get(each, ())} & needed]


def test_views_hold_no_torch():
    assert not found(VIEWS, lambda file: from_package(file, "torch", "torchvision", "sklearn", "umap"))


@pytest.mark.parametrize("network", ["densenet", "resnext", "resnet"])
def test_a_network_can_be_copied_onto_a_slide(network):
    assert {each.split(".")[0] for each in imports(ROOT / "core" / "networks" / f"{network}.py")} == {"torch"}


@pytest.mark.parametrize(
    ("file", "allowed"),
    [
        ("triplets", ("math", "typing", "torch", "core.settings.config", "core.analysis.distances")),
        ("augment", ("math", "torch")),
    ],
    ids=["triplets", "augment"],
)
def test_mathematics_needs_torch_and_the_names_only(file, allowed):
    for used in imports(ROOT / "core" / "learning" / f"{file}.py"):
        assert any(used == each or used.startswith(f"{each}.") for each in allowed), used


def test_what_pages_read_with_loads_no_torch(loaded):
    assert not loaded & {"torch", "torchvision", "sklearn", "umap", "streamlit"}
    assert "numpy" in loaded  # or the list says nothing


def test_the_queue_knows_nothing_of_learning():
    used = from_package(ROOT / "core" / "runs" / "queue.py", "torch", "numpy", "core")
    assert all(each.startswith("core.learning.states") for each in used)


def test_figures_are_made_without_streamlit():
    drawing = (ROOT / "app" / "drawing").rglob("*.py")
    assert not found(drawing, lambda file: from_package(file, "streamlit"))


def test_session_caches_fragments_and_downloads_have_a_door_each():
    doors = {"session_state": "app/session.py", "query_params": "app/session.py"}
    doors |= {"cache_data": "app/cached.py", "cache_resource": "app/cached.py", "fragment": "app/crowd.py"}
    doors["download_button"] = "app/downloads.py"

    def used_elsewhere(file: Path) -> set[str]:
        used = attributes_of(file, "st") | attributes_of(file, "streamlit") | imports(file)
        return {each for each in {each.split(".")[-1] for each in used} & set(doors) if doors[each] != name(file)}

    assert not found(APP, used_elsewhere)


def test_pages_change_things_through_control_and_say_who_asks():
    """What an `actor` may do is checked there; a page that went around it, or named nobody, would let anybody in."""
    from core import control

    asking = {name for name, each in vars(control).items() if "actor" in getattr(each, "__annotations__", {})}
    around = {
        "store.delete",
        "store.throw_away",
        "trash.throw",
        "trash.empty",
        "trash.bring_back",
        "store.rename",
        "store.archive",
        "store.request",
        "notes.save",
        "notes.save_answer",
    }
    around |= {"packed_runs.read_run", "packed_runs.export_run", "packed_sets.read_data_set"}
    around |= {"codes.new_codes", "codes.free_name"}

    def wrong(file: Path) -> set[str]:
        calls = [node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        named = {node: ast.unparse(node.func) for node in calls}
        nobody = {
            name
            for node, name in named.items()
            if name in {f"control.{each}" for each in asking} and "actor" not in {word.arg for word in node.keywords}
        }
        return nobody | (set(named.values()) & around)

    assert len(asking) > 10
    assert not found(APP, wrong)


def test_a_view_draws_nothing_at_import():
    """So that its functions can be tested without a page: the top of the file holds definitions and constants only."""
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    for file in VIEWS:
        _doc, *others = ast.parse(file.read_text(encoding="utf-8")).body or [None]
        assert all(isinstance(node, kinds) for node in others), file
        functions = {node.name for node in others if isinstance(node, ast.FunctionDef)}
        assert "page" in functions or not others, file


def test_no_raw_html_and_no_outdated_option():
    outdated = {"unsafe_allow_html", "use_container_width"}
    assert not found(APP, lambda file: {each for each in outdated if each in file.read_text(encoding="utf-8")})


def test_a_module_says_what_it_is():
    def silent(file: Path) -> bool:
        text = file.read_text(encoding="utf-8")
        return bool(text) and not ast.get_docstring(ast.parse(text))

    assert not found([*CORE, *APP, *BENCHMARKS], silent)


def test_no_import_in_a_circle():
    """Modules of core, by the imports at their top."""
    files = {module_name(file): file for file in CORE}
    needs = {}
    for module, file in files.items():
        top = [node for node in ast.parse(file.read_text(encoding="utf-8")).body if isinstance(node, ast.ImportFrom)]
        names = {f"{node.module}.{alias.name}" for node in top for alias in node.names} | {node.module for node in top}
        needs[module] = (names & set(files)) - {module}
    while free := {module for module, others in needs.items() if not others}:
        needs = {module: others - free for module, others in needs.items() if module not in free}
    assert not needs


def test_modules_and_functions_are_short():
    """What does not fit onto a few screens is two things."""
    long = {}
    for file in [*CORE, *APP, *BENCHMARKS, *TESTS]:
        text = file.read_text(encoding="utf-8")
        long[name(file)] = len(text.splitlines()) - 350
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                long[f"{name(file)}: {node.name}"] = node.end_lineno - node.lineno + 1 - 50
    assert not {what: lines for what, lines in long.items() if lines > 0}  # so many too many


def test_architectures_and_objectives_are_known_by_their_entries_only():
    """Their names stand in choices.py, and among settings and presets; elsewhere an entry is asked what it needs."""

    def named(file: Path) -> set[str]:
        constants = (
            node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if type(node) is ast.Constant
        )
        return {*ARCHITECTURES, *OBJECTIVES} & {each.value for each in constants if isinstance(each.value, str)}

    assert not found([file for file in (*CORE, *APP) if file.parent.name != "settings"], named)
    assert named(ROOT / "core" / "settings" / "choices.py") == {*ARCHITECTURES, *OBJECTIVES}


def test_callbacks_are_carried_out_to_their_end():
    """Whatever is given to Streamlit as a callback goes through session.whole, see there."""
    bare = []
    for file in APP:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not ast.unparse(node.func).startswith("st."):
                continue
            given = {each.arg: ast.unparse(each.value) for each in node.keywords if (each.arg or "").startswith("on_")}
            whole = ("session.whole(", "'")  # or "rerun", "ignore"
            bare += [
                f"{name(file)}:{node.lineno}: {key}" for key, value in given.items() if not value.startswith(whole)
            ]
    assert not bare
