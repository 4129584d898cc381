"""The benchmarks' harness: contestants that compute something else are refused, missed targets are told."""

import importlib
import json
import time

import numpy as np
import pytest
from benchmarks.harness import machine, memory, picture, processes, report, timing
from benchmarks.harness.case import Case, Contestant, Disagreement, Measurement, Process, Unavailable, told
from benchmarks.harness.targets import TARGETS, Target, verdicts
from benchmarks.workloads import compiled_functions, first_use, in_hosts

from benchmarks import workloads

BRIEFLY = timing.Limits(budget=0.02, patience=60)
NUMBERS = np.array([1.0, 2.0])


def contestant(name, result, seconds=0.0, **options):
    def run():
        time.sleep(seconds)
        return result

    return Contestant(name, lambda: run, **options)


def case(*contestants, size="n = 2"):
    return Case("x", "a case", size, contestants, tolerance=1e-6)


def measured(**medians):
    return [
        Measurement(name, "g", [s], first_call=s, peak_memory=int(1e6 * s)) for name, s in medians.items()
    ]


# --- agreement ---------------------------------------------------------------------------------------------


def test_contestants_that_agree_are_timed():
    found = timing.measure(
        case(contestant("ours", [NUMBERS]), contestant("theirs", [NUMBERS * (1 + 1e-9)])), BRIEFLY
    )
    assert [m.contestant for m in found] == ["ours", "theirs"]
    for measurement in found:
        assert len(measurement.seconds) >= timing.FEWEST
        assert measurement.first_call > 0


@pytest.mark.parametrize("wrong", [[1.0, 2.00001], [1.0], [1.0, np.nan], [1.0, np.inf]])
def test_a_contestant_with_other_numbers_is_refused(wrong):
    with pytest.raises(Disagreement, match="theirs and ours"):
        timing.measure(case(contestant("ours", NUMBERS), contestant("theirs", np.array(wrong))), BRIEFLY)


def test_a_tuple_with_an_array_missing_is_refused():
    with pytest.raises(Disagreement):
        timing.measure(
            case(contestant("ours", (NUMBERS, NUMBERS)), contestant("theirs", (NUMBERS,))), BRIEFLY
        )


def test_what_computes_something_else_need_not_agree():
    others = contestant("value", -NUMBERS, computes="value"), contestant("other", 3 * NUMBERS, group="other")
    assert len(timing.measure(case(contestant("ours", NUMBERS), *others), BRIEFLY)) == 3


def test_groups_that_compute_the_same_must_agree():
    pair = [
        contestant("ours", NUMBERS, group="in A", computes="gradient"),
        contestant("theirs", -NUMBERS, group="in B", computes="gradient"),
    ]
    with pytest.raises(Disagreement):
        timing.measure(case(*pair), BRIEFLY)


def test_an_array_that_is_written_again_is_compared_as_it_was():
    """A contestant may return the same array in each call."""
    shared = np.zeros(2)

    def writing(value):
        def run():
            shared[:] = value
            return shared

        return lambda: run

    with pytest.raises(Disagreement):
        timing.measure(
            case(Contestant("ours", writing(NUMBERS)), Contestant("theirs", writing(-NUMBERS))), BRIEFLY
        )


# --- timing ------------------------------------------------------------------------------------------------


def test_the_slower_one_is_found_slower():
    found = timing.measure(case(contestant("fast", 1.0), contestant("slow", 1.0, seconds=0.02)), BRIEFLY)
    assert found[0].median < 0.2 * found[1].median
    assert report.rows(found)[0][3] == "1.00"
    assert float(report.rows(found)[1][3]) > 5


def test_contestants_that_cannot_take_part_say_why():
    def missing():
        raise Unavailable("no compiler")

    def broken():
        raise TypeError("in /some/folder/file.py of 1/2\nwith details")

    others = Contestant("C", missing), Contestant("theirs", broken), contestant("endless", 1.0, seconds=60)
    found = timing.measure(case(contestant("ours", 1.0), *others), timing.Limits(0.02, patience=2))
    assert found[0].seconds
    reasons = ["no compiler", "raised TypeError: in file.py of 1/2", "not done after 2 s"]
    assert [m.reason for m in found[1:]] == reasons
    assert not any(m.seconds for m in found[1:])
    assert [row[1] for row in report.rows(found)[1:]] == reasons


# --- fresh processes ---------------------------------------------------------------------------------------

TELLING = """
import json, sys
name, seconds, number = sys.argv[1:]
print("something else")
print(json.dumps({name: {"seconds": float(seconds), "numbers": [float(number)], "memory": 2**20}}))
"""


@pytest.fixture
def telling(tmp_path, monkeypatch):
    """A case of processes that tell (name, seconds, number)."""
    (tmp_path / "telling.py").write_text(TELLING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def made(*tellings):
        found = [
            Process("telling", tuple(map(str, telling)), (telling[0],), once=k > 0)
            for k, telling in enumerate(tellings)
        ]
        return Case("x", "a case", "n", [told(t[0], "g") for t in tellings], processes=found)

    return made


def test_processes_tell_about_contestants(telling):
    found = processes.measure(telling(("ours", 2.0, 1.5), ("theirs", 1.0, 1.5)), rounds=2)
    assert [m.seconds for m in found] == [[2.0, 2.0], [1.0]]  # the second goes once
    assert [m.peak_memory for m in found] == [2**20, 2**20]
    assert len(report.headings(found)) == len(report.rows(found)[0])
    assert report.rows(found)[1][:4] == ("theirs", "1 s", "1 s", "0.50")


def test_processes_that_compute_other_numbers_are_refused(telling):
    with pytest.raises(Disagreement):
        processes.measure(telling(("ours", 2.0, 1.5), ("theirs", 1.0, 1.4)), rounds=1)


def test_a_process_that_fails_is_left_out_with_the_reason(telling):
    found = processes.measure(telling(("ours", 2.0, 1.5), ("theirs", "soon", 1.5)), rounds=1)
    assert [m.reason for m in found] == ["", "raised ValueError"]
    assert report.rows(found)[1] == ("theirs", "raised ValueError", "", "", "")


def test_the_fastest_process_counts():
    found = [Measurement("ours", "g", [3.0, 1.0, 9.0], of_processes=True)]
    (verdict,) = verdicts([(case(), found)], [Target("x", "seconds", "ours", (), 2.0)])
    assert (verdict.ratio, verdict.met) == (1.0, True)


@pytest.mark.parametrize(("more", "met"), [(0.9, False), (1.1, True)])
def test_a_target_may_allow_seconds_beside_the_ratio(more, met):
    target = Target("x", "ours", "ours", ("a",), 2.0, more=more)
    (verdict,) = verdicts([(case(), measured(ours=5.0, a=2.0))], [target])
    assert (verdict.ratio, verdict.met) == (2.5, met)


@pytest.mark.parametrize("which", ["line", "product of 12", "special spherical_yn"])
@pytest.mark.few(which=["line"])
def test_first_uses_compute_the_same(which, monkeypatch):
    monkeypatch.setenv("FWDDIFF_CACHE_DIR", "off")
    function, point = compiled_functions.get(which)
    value, *slopes = first_use.fwddiff(which)["fwddiff"]["numbers"]
    assert value == pytest.approx(function(*point))
    step = 1e-6
    for k, slope in enumerate(slopes):
        moved = [x + step * (k == j) for j, x in enumerate(point)]
        assert slope == pytest.approx((function(*moved) - function(*point)) / step, rel=1e-4)
    assert first_use.numba(which)["numba.njit"]["numbers"] == pytest.approx([value])


@pytest.mark.parametrize("which", ["incomplete beta", "barrier option", "model", "400 straight lines"])
def test_functions_that_are_compiled_run_as_they_are(which):
    function, point = compiled_functions.get(which)
    assert np.isfinite(function(*point))


# --- memory ------------------------------------------------------------------------------------------------


def test_peak_memory_sees_what_an_evaluation_allocates():
    count = 40 * 2**17

    def make():
        return lambda: np.ones(count) + np.ones(count)

    peak = memory.peak_of(Contestant("allocates", make))
    assert 0.95 <= peak / (8 * count) / 2 <= 1.55  # the sum may be written into one of the two


# --- verdicts and reports ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "met"), [(0.5, True), (0.4, False)])
@pytest.mark.parametrize("metric", ["time", "memory"])
def test_verdicts_are_about_the_best_of_the_others(limit, met, metric):
    target = Target("x", "ours / best", "ours", ("a", "b", "absent"), limit, metric=metric)
    (verdict,) = verdicts([(case(), measured(ours=1.0, a=2.0, b=3.0))], [target])
    assert verdict.ratio == 0.5
    assert verdict.met == met


def test_a_target_is_about_its_size():
    target = Target("x", "ours / a", "ours", ("a",), 1.0, where="n = 1 000")
    results = [(case(size=size), measured(ours=1.0, a=2.0)) for size in ("n = 1 000", "n = 1 000 000")]
    assert [verdict.size for verdict in verdicts(results, [target])] == ["a case, n = 1 000"]


def test_the_report_says_what_is_missed_and_what_was_not_measured(tmp_path):
    results = [(case(), measured(ours=1.0, a=0.5))]
    targets = [
        Target("x", "ours / a", "ours", ("a",), 1.0, note="what the profile shows"),
        Target("x", "ours / absent", "ours", ("absent",), 1.0, note="no profile"),
        Target("x", "a / ours", "a", ("ours",), 1.0, note="all is well"),
    ]
    judged = verdicts(results, targets)
    assert [verdict.status for verdict in judged] == ["missed by 2.00 ×", "not measured", "met"]
    assert report.notes(judged) == ["(x) ours / a: what the profile shows"]
    (tmp_path / "docs").mkdir()
    report.write(tmp_path, machine.description(), results, judged)
    page = (tmp_path / "docs" / "benchmarks.md").read_text()
    assert "missed by 2.00 ×" in page
    assert "what the profile shows" in page
    kept = json.loads((tmp_path / "benchmarks" / "results" / "latest.json").read_text())
    assert [target["ratio"] for target in kept["targets"]] == [2.0, None, 0.5]
    picture.draw(judged, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_peers_are_told_by_their_first_word():
    functions = dict.fromkeys(["fwddiff", "torch formula", "jnp formula", "autograd formula"], len)
    names = [c.name for c in in_hosts.gradients(functions, [NUMBERS], compiled=True)]
    assert "fwddiff.sum in JAX" in [
        c.name for c in in_hosts.gradients(functions | {"fwddiff.sum": len}, [], True)
    ]
    assert names[:3] == ["fwddiff in PyTorch", "torch formula", "torch.compile"]
    assert names[3:] == ["fwddiff in JAX", "jnp formula", "fwddiff in autograd", "autograd formula"]


# --- workloads ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("letter", list(workloads.WORKLOADS))
def test_every_target_finds_its_contestants(letter):
    module = importlib.import_module(f"benchmarks.workloads.{workloads.WORKLOADS[letter]}")
    assert all(found.letter == letter for found in module.cases(True))
    names = {c.name for found in module.cases(False) for c in found.contestants}
    for target in TARGETS:
        if target.letter == letter:
            assert {target.ours, *target.theirs} <= names
