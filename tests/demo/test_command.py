"""`python -m fwddiff`, as a person runs it."""

from __future__ import annotations

import re
import subprocess
import sys
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from fwddiff.__main__ import main
from fwddiff.demo.picture import Timing
from fwddiff.demo.report import parameter_table, relative_difference, timing_table, verdict

# Makes packages not installed: no finder finds them.
HIDE = """
class Hiding:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, *rest):
        return None if name.split(".")[0] in HIDDEN else self.finder.find_spec(name, *rest)
sys.meta_path[:] = map(Hiding, sys.meta_path)
"""


def run(
    *arguments: str, hidden: tuple[str, ...] = (), after: str = "", cwd=None
) -> subprocess.CompletedProcess:
    """`python -m fwddiff *arguments` in a fresh interpreter, then the statement `after`."""
    call = f"from fwddiff.__main__ import main; status = main({list(arguments)!r})"
    hide = f"HIDDEN = {hidden!r}{HIDE}" if hidden else ""
    code = "\n".join(["import sys", hide, call, after, "sys.exit(status)"])
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd)


def text_of(table) -> str:
    console = Console(file=StringIO(), width=120)
    console.print(table)
    return console.file.getvalue()


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    return run("demo", cwd=folder), folder / "weibull.png"


@pytest.mark.slow
def test_demo_prints_the_parameters_of_all_hosts_beside_those_of_lifelines(demo):
    pytest.importorskip("torch")
    finished, _ = demo
    assert finished.returncode == 0, finished.stderr
    row = re.search(r"^\s*Intercept (.*)$", finished.stdout, flags=re.MULTILINE)[1].split()
    np.testing.assert_allclose(np.array(row, float), 3.99013, atol=1e-5)
    assert len(row) == 4
    assert "the same four digits" in finished.stdout


@pytest.mark.parametrize("host", ["PyTorch", "JAX (jit)", "HIPS autograd"])
@pytest.mark.slow
def test_demo_prints_times_at_two_sizes(demo, host):
    if host == "PyTorch":
        pytest.importorskip("torch")
    rows = re.findall(
        rf"^\s*{re.escape(host)} +([\d,]+) +([\d,.]+) +([\d,.]+) +([\d.]+)", demo[0].stdout, re.MULTILINE
    )
    assert [row[0] for row in rows] == ["432", "86,400"]


@pytest.mark.slow
def test_demo_says_what_it_is_doing_and_warns_of_nothing(demo):
    pytest.importorskip("torch")
    assert "PyTorch: L-BFGS-B with the gradient from fwddiff ..." in demo[0].stdout
    assert demo[0].stderr == ""


@pytest.mark.slow
def test_demo_writes_its_picture(demo):
    content = demo[1].read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(content) > 30_000


def test_missing_packages_are_one_clear_line():
    finished = run("demo", hidden=("lifelines", "rich"))
    assert finished.returncode == 1
    assert finished.stderr == "The demo needs lifelines, rich: python -m pip install 'fwddiff[demo]'\n"


def test_missing_hosts_are_left_out_with_a_line(tmp_path):
    finished = run("demo", hidden=("torch", "jax"), cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert (
        "PyTorch is not installed and is left out: python -m pip install 'fwddiff[torch]'" in finished.stdout
    )
    assert "JAX (jit) is not installed" in finished.stdout
    assert "HIPS autograd  " in finished.stdout


def test_missing_folder_is_said_before_the_work(tmp_path, capsys):
    assert main(["demo", "--output", str(tmp_path / "nowhere" / "a.png")]) == 1
    assert "there is no folder" in capsys.readouterr().err


def test_info_names_what_a_bug_report_needs(capsys):
    assert main(["info"]) == 0
    facts = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert facts["numpy"] == np.__version__
    assert {"torch", "jax", "autograd"} <= set(re.findall(r"[a-z]+", facts["hosts"]))
    assert "numba" in facts["engines"]
    assert facts["threads"].endswith("cores to run on")


def test_info_imports_no_host():
    finished = run("info", after="print({'torch', 'jax', 'autograd'} & {*sys.modules})")
    assert finished.returncode == 0
    assert finished.stdout.endswith("set()\n")


def test_help_and_errors(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "survival regression" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        main([])
    assert "required" in capsys.readouterr().err


def test_tables_hold_what_they_are_given():
    parameters = np.array([0.25, -1.5, 0.75])
    text = text_of(parameter_table(["fin", "Intercept"], parameters, {"PyTorch": parameters + 1}))
    assert re.search(r"Intercept\s+-1\.500000\s+-0\.500000", text)
    assert re.search(r"log ρ\s+0\.750000\s+1\.750000", text)
    text = text_of(timing_table({"JAX (jit)": [Timing(1000, 2e-6, 3e-6)]}))
    assert re.search(r"JAX \(jit\)\s+1,000\s+2\.0\s+3\.0\s+1\.50", text)


def test_relative_difference_is_the_worst_one():
    assert relative_difference(np.array([1.0, 2.2]), np.array([1.0, 2.0])) == pytest.approx(0.1)


@pytest.mark.parametrize(("error", "status"), [(1e-5, 0), (1e-4, 1)])
def test_a_fit_that_disagrees_in_the_fourth_digit_is_a_failure(error, status):
    console = Console(file=StringIO(), width=120)
    expected = np.array([0.5, 2.0])
    assert verdict(console, expected, {"JAX": expected, "PyTorch": expected * (1 + error)}) == status
    assert f"{error:.1e} (PyTorch)" in console.file.getvalue()
