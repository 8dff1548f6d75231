"""The direction of imports: config <- geometry <- model <- ... <- cli, and no way back."""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ("train_oracle", "train_shader", "view")

# A part may import the parts on the lines above its own, and itself; parts on one line do not know
# each other. `__init__` is what `import donerf` offers: public names of the parts below it.
LAYERS = (
    ("config", "assets", "command", "files", "memory", "precision"),
    ("command_line", "geometry"),
    ("model", "data"),
    ("scene_file",),
    ("renderer", "describe", "onnx_import"),
    ("__init__",),
    ("training", "backends", "baselines"),
    ("evaluation",),
    ("recipes",),
    ("cli",),
    ("__main__",),
)
LAYER_OF = {part: index for index, parts in enumerate(LAYERS) for part in parts}


@dataclass(frozen=True)
class Import:
    """One imported module, and the names taken from it."""

    file: Path
    line: int
    module: str
    names: tuple[str, ...]
    is_lazy: bool

    @property
    def top(self) -> str:
        return self.module.split(".")[0]

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.module}"


def imports_below(node: ast.AST, file: Path, is_lazy: bool = False) -> Iterator[Import]:
    """Imports at and below a node; those inside a function or for type checkers alone are lazy."""
    for child in ast.iter_child_nodes(node):
        lazy = is_lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        lazy = lazy or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test))
        if isinstance(child, ast.Import):
            for name in child.names:
                yield Import(file, child.lineno, name.name, (), lazy)
        elif isinstance(child, ast.ImportFrom):
            package = file.relative_to(ROOT).with_suffix("").parts[: -child.level or None]
            prefix = package if child.level else ()
            module = ".".join([*prefix, *filter(None, [child.module])])
            names = tuple(name.name for name in child.names)
            yield Import(file, child.lineno, module, names, lazy)
        else:
            yield from imports_below(child, file, lazy)


def read_imports(*folders: str) -> list[Import]:
    files = sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py"))
    return [one for file in files for one in imports_below(ast.parse(file.read_text()), file)]


def part_of_file(file: Path) -> str:
    return file.relative_to(ROOT / "donerf").with_suffix("").parts[0]


def parts_of_import(one: Import) -> set[str]:
    """The parts of donerf that an import reaches; `from donerf import model` reaches model."""
    below = one.module.split(".")[1:]
    if below:
        return {below[0]}
    return {name if name in LAYER_OF else "__init__" for name in one.names or ("__init__",)}


def is_allowed(importer: str, imported: str, is_lazy: bool) -> bool:
    if importer == imported:
        return True
    if importer == "data":
        return imported in (*LAYERS[0], "geometry")
    # The renderer's module chooses the backend: the one way upwards, taken when it is called.
    if importer == "renderer" and imported in ("backends", "baselines"):
        return is_lazy
    return LAYER_OF[imported] < LAYER_OF[importer]


def offenses(imports: list[Import], forbidden: set[str]) -> list[str]:
    return [str(one) for one in imports if one.top in forbidden]


def test_every_part_of_donerf_has_its_layer():
    parts = {part_of_file(file) for file in (ROOT / "donerf").rglob("*.py")} - {"__main__"}

    assert parts <= LAYER_OF.keys(), "give the new part its place in LAYERS"


def test_donerf_imports_only_downwards():
    wrong = [
        f"{one} ({part} -> {part_of_file(one.file)})"
        for one in read_imports("donerf")
        if one.top == "donerf"
        for part in parts_of_import(one)
        if not is_allowed(part_of_file(one.file), part, one.is_lazy)
    ]

    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_imported_by_nobody(script: str):
    assert not offenses(read_imports("donerf", "viewer"), {script})


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_recipes_below_100_lines(script: str):
    assert len((ROOT / f"{script}.py").read_text().splitlines()) < 100


def test_donerf_knows_no_window():
    imports = [one for one in read_imports("donerf") if part_of_file(one.file) != "cli"]

    assert not offenses(imports, {"viewer", "moderngl", "glfw", "pyrr"})


def test_the_command_imports_the_heavy_parts_only_when_they_are_needed():
    light = sys.stdlib_module_names | {"tyro"}
    light_own = {"donerf.command", "donerf.command_line"}  # The test of --help proves it.
    eager = [one for one in read_imports("donerf") if part_of_file(one.file) == "cli"]
    eager = [one for one in eager if not one.is_lazy and one.module not in light_own]

    assert {one.top for one in eager} <= light


def test_only_the_cuda_backend_imports_triton():
    found = [one for one in read_imports("donerf", "viewer") if one.top == "triton"]

    assert found
    assert all("backends/cuda" in one.file.as_posix() for one in found)


def test_kernels_are_imported_lazily_by_all_but_each_other():
    imports = read_imports("donerf", "viewer")
    kernels = {one.file for one in imports if one.top == "triton" and not one.is_lazy}
    names = {".".join(file.relative_to(ROOT).with_suffix("").parts) for file in kernels}
    others = [one for one in imports if one.module in names and one.file not in kernels]

    assert others
    assert not [str(one) for one in others if not one.is_lazy]


def test_the_viewer_uses_public_names_of_donerf_only():
    modules = ("renderer", "assets", "command", "files", "evaluation.metrics")
    public = {"donerf", *(f"donerf.{name}" for name in modules)}
    imports = [one for one in read_imports("viewer") if one.top == "donerf"]

    assert not [str(one) for one in imports if one.module not in public]


def test_pyrr_stays_in_one_module_of_the_viewer():
    assert len({one.file for one in read_imports("viewer") if one.top == "pyrr"}) <= 1


def test_imgui_stays_in_its_package_and_is_imported_lazily():
    outside = [one for one in read_imports("viewer") if "viewer/gui" not in one.file.as_posix()]

    assert not offenses(outside, {"imgui_bundle"})
    assert all(one.is_lazy for one in outside if one.module.startswith("viewer.gui"))


def test_there_is_no_module_of_leftovers():
    names = {file.stem for folder in ("donerf", "viewer") for file in (ROOT / folder).rglob("*.py")}

    assert not names & {"utils", "util", "helpers", "misc", "common"}
