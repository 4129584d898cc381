"""`python -m fwddiff demo`: a censored Weibull survival regression with gradients from fwddiff in each host.

    survival   the data and the log-likelihood of one person: plain Python, with an `if`
    hosts      that log-likelihood summed and differentiated in each host, with and without fwddiff
    fit        SciPy's L-BFGS-B, lifelines' own fit, times
    report     what is printed
    picture    what is drawn

Nothing is imported here: the demo's packages are looked for first, so that a missing one is one clear line.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

NEEDED = ("scipy", "pandas", "lifelines", "matplotlib", "rich")


def main(output: Path) -> int:
    """Run the demo, write its picture to `output`, return the exit status: 1 where packages are missing."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        sys.stderr.write(f"The demo needs {', '.join(missing)}: python -m pip install 'fwddiff[demo]'\n")
        return 1
    if not output.absolute().parent.is_dir():
        sys.stderr.write(
            f"--output {output}: there is no folder {output.absolute().parent}; create it first.\n"
        )
        return 1
    from fwddiff.demo.report import run

    return run(output)
