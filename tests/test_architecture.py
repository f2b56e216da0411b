"""Who may import whom, read from the source: the rules that keep `core` readable without Streamlit or a thread."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = sorted((ROOT / "core").glob("*.py"))
APP = sorted((ROOT / "app").rglob("*.py"))
VIEWS = sorted((ROOT / "app" / "views").glob("*.py"))


def imports(file: Path) -> set[str]:
    """Full names of all modules and names that a file imports anywhere, e.g. core.data.DataSet and core.data."""
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


@pytest.fixture(scope="module")
def loaded() -> dict[str, set[str]]:
    """What each of some modules has loaded once it is imported by a fresh interpreter."""
    modules = ["core.choices", "core.config", "core.presets", "core.data", "core.sources", "core.runs"]
    modules += ["core.store", "core.writing", "core.mistakes", "core.uploads"]
    code = f"""
import importlib, json, sys
found = {{}}
for name in {modules}:
    importlib.import_module(name)
    found[name] = sorted({{each.split(".")[0] for each in sys.modules}})
print(json.dumps(found))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return {key: set(value) for key, value in json.loads(done.stdout).items()}


def test_the_files_are_there():
    assert len(CORE) > 20
    assert len(VIEWS) > 3
    assert {"app/state.py", "app/charts.py", "app/pictures.py", "app/main.py"} <= {name(file) for file in APP}


@pytest.mark.parametrize("file", CORE, ids=name)
def test_core_knows_neither_streamlit_nor_app(file):
    assert not from_package(file, "streamlit", "app", "plotly")


@pytest.mark.parametrize("file", VIEWS, ids=name)
def test_views_hold_no_torch(file):
    assert not from_package(file, "torch", "torchvision", "sklearn", "umap")


@pytest.mark.parametrize("network", ["densenet", "resnext", "resnet"])
def test_a_network_can_be_copied_onto_a_slide(network):
    assert {each.split(".")[0] for each in imports(ROOT / "core" / f"{network}.py")} == {"torch"}


@pytest.mark.parametrize(
    ("file", "allowed"),
    [("triplets", ("math", "typing", "torch", "core.config")), ("augment", ("math", "torch"))],
    ids=["triplets", "augment"],
)
def test_mathematics_needs_torch_and_the_names_only(file, allowed):
    for found in imports(ROOT / "core" / f"{file}.py"):
        assert any(found == each or found.startswith(f"{each}.") for each in allowed), found


@pytest.mark.parametrize(
    ("file", "allowed"),
    [("choices", set()), ("config", {"core.choices"}), ("presets", {"core.choices", "core.config"})],
    ids=["choices", "config", "presets"],
)
def test_settings_need_the_standard_library_only(file, allowed):
    found = imports(ROOT / "core" / f"{file}.py")
    assert {each for each in found if each.split(".")[0] not in sys.stdlib_module_names | {"core"}} == set()
    assert {".".join(each.split(".")[:2]) for each in found if each.startswith("core.")} == allowed


def test_what_pages_read_with_loads_no_torch(loaded):
    for module, found in loaded.items():  # each includes what those before it have loaded
        assert not found & {"torch", "torchvision", "sklearn", "umap", "streamlit"}, module
    assert "numpy" in loaded["core.data"]  # or the list says nothing


def test_the_queue_knows_nothing_of_learning():
    assert not from_package(ROOT / "core" / "runs.py", "torch", "numpy", "core")


@pytest.mark.parametrize("file", ["charts", "pictures"])
def test_figures_are_made_without_streamlit(file):
    assert not from_package(ROOT / "app" / f"{file}.py", "streamlit")


@pytest.mark.parametrize("file", [file for file in APP if file.name != "state.py"], ids=name)
def test_only_state_touches_session_and_caches(file):
    used = attributes_of(file, "st") | attributes_of(file, "streamlit") | imports(file)
    for forbidden in ("session_state", "cache_data", "cache_resource"):
        assert not {each for each in used if each.split(".")[-1] == forbidden}


@pytest.mark.parametrize("file", APP, ids=name)
def test_no_raw_html_and_no_outdated_option(file):
    text = file.read_text(encoding="utf-8")
    assert "unsafe_allow_html" not in text
    assert "use_container_width" not in text


@pytest.mark.parametrize("file", [*CORE, *APP], ids=name)
def test_a_module_says_what_it_is(file):
    text = file.read_text(encoding="utf-8")
    if text:
        assert ast.get_docstring(ast.parse(text))


def test_no_import_in_a_circle():
    """Modules of core, by the imports at their top."""
    needs = {}
    for file in CORE:
        top = [node for node in ast.parse(file.read_text(encoding="utf-8")).body if isinstance(node, ast.ImportFrom)]
        names = {f"{node.module}.{alias.name}" for node in top for alias in node.names} | {node.module for node in top}
        needs[file.stem] = {each.stem for each in CORE if f"core.{each.stem}" in names}
    while free := {module for module, others in needs.items() if not others}:
        needs = {module: others - free for module, others in needs.items() if module not in free}
    assert not needs
