"""The package as a whole: which way imports point, what they cost, what is public, what the texts promise."""

from __future__ import annotations

import ast
import functools
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fwddiff

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "fwddiff"

# Top to bottom: a file imports files below it, never above. `engines` and `hosts` do not know each other.
LAYERS = (
    "__main__",
    "demo",
    "__init__",
    "testing",
    "_explain",
    "_operators",
    "_checkpoint",
    "_inplace",
    "sparsity",
    "_custom",
    "_implicit",
    "_foreign",
    "_chainrules",
    "_wrapper",
    "_wrapped",
    "_copies",
    "_construction",
    "_call",
    "_recipe",
    "_decisions",
    "_function",
    "_signature",
    "stats",
    "_host",
    "_dual_host",
    "hosts",
    "engines",
    "_sizes",
    "_mistakes",
    "_problem",
    "_capture",
    "_tree",
    "_classes",
    "_beside",
    "_thunk",
    "_buffers",
    "_nesting",
    "_derive",
    "_rule",
    "special",
    "_magnitude",
    "_each",
    "dual",
    "rules",
    "_record",
    "_special",
    "_native",
    "_errors",
    "_probe",
)
FORBIDDEN = {("hosts", "engines"), ("engines", "hosts"), ("hosts", "dual"), ("hosts", "rules")}


def imports_of(tree: ast.AST) -> set[str]:
    """Full dotted names of everything imported from fwddiff anywhere in a file, in functions too."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where they lead; write them out"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.split(".")[0] == "fwddiff"}


def modules() -> dict[str, Path]:
    """Dotted name → file, of every module of the package."""
    names = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = ["fwddiff", *path.relative_to(SOURCE).with_suffix("").parts]
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


MODULES = modules()


@functools.cache
def module_edges() -> dict[str, set[str]]:
    """Module → modules of the package that it imports; `from package import name` may name a submodule."""
    edges = {}
    for name, path in MODULES.items():
        imported = imports_of(ast.parse(path.read_text()))
        targets = {target if target in MODULES else target.rpartition(".")[0] for target in imported}
        edges[name] = targets - {name}
    return edges


def layer(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def test_every_module_has_its_layer():
    assert {layer(name) for name in MODULES} == set(LAYERS)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module):
    for target in module_edges()[module]:
        above, below = layer(module), layer(target)
        if above != below:
            assert LAYERS.index(above) < LAYERS.index(below), f"{module} imports {target}, which is above it"
            assert (above, below) not in FORBIDDEN, (
                f"{module} imports {target}: hosts and engines meet in _rule only"
            )


def test_one_file_imports_what_numba_does_not_publish():
    private = re.compile(r"^\s*(?:from|import) numba\.(?!extending\b)", re.MULTILINE)
    assert [name for name, path in MODULES.items() if private.search(path.read_text())] == [
        "fwddiff._native.internals"
    ]


def test_no_module_imports_itself_through_others():
    edges = module_edges()
    finished: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " → ".join([*path[path.index(module) :], module])
        if module not in finished:
            for target in edges[module]:
                visit(target, (*path, module))
            finished.add(module)

    for module in edges:
        visit(module, ())


def in_fresh_interpreter(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


FRAMEWORKS = {"torch", "jax", "jaxlib", "autograd", "tensorflow", "pytensor", "mlx"}
TOOLS = {"scipy", "matplotlib", "rich", "lifelines", "pandas", "sympy"}


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import fwddiff", {"numba", *FRAMEWORKS, *TOOLS}),
        ("from fwddiff import fwddiff; fwddiff(abs)(-1.0)", FRAMEWORKS | TOOLS),
        # Numba imports SciPy by itself when it compiles.
        ("import numpy as np, fwddiff; fwddiff.fwddiff(lambda x: x * x).sum(np.ones(2))", FRAMEWORKS),
    ],
    ids=["import", "call", "kernel"],
)
def test_no_framework_is_imported(code, unwanted):
    loaded = json.loads(in_fresh_interpreter(f"{code}\nimport sys, json; print(json.dumps([*sys.modules]))"))
    assert "fwddiff" in loaded
    assert not unwanted & set(loaded)


def test_import_costs_little_more_than_numba():
    # The least of several is the cost without the machine's other work; a second try forgives a bad minute.
    for _ in range(3):
        times: dict[str, list[float]] = {"import numba": [], "from fwddiff import fwddiff": []}
        for _ in range(5):
            for code, seconds in times.items():
                start = time.perf_counter()
                in_fresh_interpreter(code)
                seconds.append(time.perf_counter() - start)
        ratio = min(times["from fwddiff import fwddiff"]) / min(times["import numba"])
        if ratio <= 1.3:
            return
    pytest.fail(f"importing fwddiff costs {ratio:.2f} times as much as importing numba")


@pytest.mark.parametrize("name", fwddiff.__all__)
def test_public_names_are_there_and_documented(name):
    value = getattr(fwddiff, name)
    if name != "__version__":
        assert value.__doc__
        assert value.__doc__ != type(value).__doc__


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="no attribute 'gradients'"):
        fwddiff.gradients  # noqa: B018


def test_version_is_that_of_the_project_file():
    assert f'version = "{fwddiff.__version__}"' in (ROOT / "pyproject.toml").read_text()


def python_blocks(path: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", path.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def runner():
    program = Path(__file__).with_name("support") / "pages.py"
    process = subprocess.Popen(
        [sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        yield process
        process.stdin.close()


PAGES = ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
# Of these, files of tests of their own check the same calls.
LONG = ("docs/backends.md", "docs/special.md", "docs/stats.md", "docs/testing.md")


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.few(page=[page for page in PAGES if page not in LONG])
def test_python_blocks_of_the_texts_run(page, tmp_path, runner):
    """The blocks of one page run in order, as one file."""
    script = tmp_path / "blocks.py"
    script.write_text("\n\n".join(python_blocks(ROOT / page)))
    if page == "docs/clients.md":
        pytest.skip("its sections, which need other environments, are run by tests of their own")
    if "import torch" in script.read_text():
        pytest.importorskip("torch")
    runner.stdin.write(f"{script}\n")
    runner.stdin.flush()
    status = runner.stdout.readline()
    assert status == "0\n", Path(f"{script}.out").read_text()


def test_readme_shows_working_code_within_ten_lines():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert lines.index("```python") < 10
