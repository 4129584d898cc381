"""`python -m fwddiff bench` and `info`."""

from __future__ import annotations

import importlib.util

import pytest

from fwddiff.__main__ import info, main

HOSTS = [name for name in ("torch", "jax", "autograd") if importlib.util.find_spec(name)]


@pytest.mark.skipif(not HOSTS, reason="no host is installed")
def test_bench_prints_ratios(capsys):
    assert main(["bench", "--hosts", HOSTS[-1], "--sizes", "10", "--seconds", "0.01"]) == 0
    printed = capsys.readouterr().out
    assert "ratio" in printed
    assert "Kepler" in printed
    assert HOSTS[-1] in printed


def test_bench_of_an_unknown_host(capsys):
    assert main(["bench", "--hosts", "mxnet"]) == 1
    assert "'mxnet' is not there" in capsys.readouterr().out


def test_info_tells_what_a_report_of_a_bug_needs():
    facts = info()
    wanted = {"fwddiff", "numba", "LLVM", "hosts", "engines", "vector math", "own math", "cache", "threads"}
    assert wanted <= set(facts)
    assert all(facts.values())
