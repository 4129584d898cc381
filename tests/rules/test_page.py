"""The committed page of rules is the one its script writes."""

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "docs" / "generate_rules.py"


def test_page_is_up_to_date():
    specification = importlib.util.spec_from_file_location("generate_rules", SCRIPT)
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), "run: python docs/generate_rules.py"
