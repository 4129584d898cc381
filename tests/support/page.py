"""Code of the documentation, for tests that run it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"


def section(page: str, title: str) -> dict[str, Any]:
    """The names that a section's code defines, run block after block; `title` is how its heading begins."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = [part for part in re.split(r"^## ", text, flags=re.MULTILINE) if part.startswith(title)]
    assert len(found) == 1, f"{page} has {len(found)} sections {title}"
    space: dict[str, Any] = {"__name__": "section"}
    for block in re.findall(r"^```python\n(.*?)^```", found[0], flags=re.MULTILINE | re.DOTALL):
        exec(compile(block, f"<{page}: {title}>", "exec"), space)
    return space
