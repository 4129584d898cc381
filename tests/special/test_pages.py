"""The pages about special functions are those of the records, and nothing is missing."""

import importlib.util
import json
from pathlib import Path

from fwddiff._record import RECORDS

DOCS = Path(__file__).parents[2] / "docs"


def script(name):
    specification = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_special_functions():
    made = script("generate_special")
    assert made.PAGE.read_text(encoding="utf-8") == made.page(), "run: python docs/generate_special.py"


def test_every_record_has_a_row_of_accuracy():
    """Measuring takes long: the page is that of what was measured."""
    made = script("generate_accuracy")
    results = json.loads(made.RESULTS.read_text(encoding="utf-8"))
    text = made.PAGE.read_text(encoding="utf-8")
    assert text == made.page(results), "run: python docs/generate_accuracy.py --page"
    for record in RECORDS.values():
        signature = f"| `{record.name}({', '.join(record.arguments)})` |"
        helper = all(slope == "0" for slope in record.slopes) and not record.oracle
        assert signature in text or (helper and f"`{record.name}`" in text), (
            f"run: python docs/generate_accuracy.py {record.name}"
        )


def test_what_was_measured_is_what_is_recorded():
    results = json.loads((DOCS / "accuracy.json").read_text(encoding="utf-8"))
    for name, found in results.items():
        if name in RECORDS:
            assert found["arguments"] == list(RECORDS[name].arguments), name
        assert found["points"] > 0, name
        assert found["fwddiff"]["value"] is not None, name


def test_the_code_of_the_page():
    blocks = (DOCS / "special.md").read_text(encoding="utf-8").split("```python\n")[1:]
    space = {}
    for block in blocks:
        exec(block.split("```")[0], space)
    assert callable(space["cdf"])
