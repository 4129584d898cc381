"""The code of functions of ours, kept on disk: what another process compiled is used, and nothing else is."""

import re

import numpy as np
import pytest

import fwddiff
from fwddiff import special
from fwddiff.engines.numba import recorded


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("FWDDIFF_CACHE_DIR", str(tmp_path / "kept"))
    recorded.body.cache_clear()
    yield tmp_path / "kept"
    recorded.body.cache_clear()


def never(name):
    raise AssertionError(f"{name} was compiled")


def test_a_second_process_compiles_nothing(folder, monkeypatch):
    made = [recorded.body(name) for name in ("stdtr", "stdtr_slope", "log_stdtr_slope", "log_gammastar")]
    made += [recorded.body(name) for name in ("log1pmx", "digamma")]
    assert len(list(folder.iterdir())) == 6
    recorded.body.cache_clear()
    monkeypatch.setattr(recorded, "_compiled", never)
    assert recorded.body("stdtr") == made[0]
    x = np.array([-1.0, 0.5])
    found = fwddiff.gradient(fwddiff.fwddiff(lambda df, x: special.stdtr(df, x)).sum, 3.0, x)
    step = 1e-5
    slope = sum(special.stdtr(3.0 + step, t) - special.stdtr(3.0 - step, t) for t in x) / (2 * step)
    assert found == pytest.approx(slope, rel=1e-7)


def test_names_of_values_are_of_no_process(folder):
    """A writer of this process names its values `d<number>.<number>`: those of another could be the same."""
    assert not re.search(r"\bd\d+\.\d+\b", recorded.body("betainc").text)


@pytest.mark.parametrize("found", [[""], ["module 1 2 overload"]])
def test_extensions_of_numba_are_part_of_the_key(folder, monkeypatch, found):
    recorded.body("log1pmx")
    before = len(list(folder.iterdir()))
    recorded.body.cache_clear()
    monkeypatch.setattr(recorded, "extensions", lambda: found)
    recorded.body("log1pmx")
    assert len(list(folder.iterdir())) == before + (found != [""])


def test_a_damaged_file_is_compiled_again(folder):
    made = recorded.body("log1pmx")
    (path,) = folder.iterdir()
    path.write_bytes(path.read_bytes()[:-20])
    recorded.body.cache_clear()
    again = recorded.body("log1pmx")
    assert (again.inputs, again.outputs) == (made.inputs, made.outputs)
