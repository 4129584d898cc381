"""PyTensor and PyMC are extras: without them, nothing (or nothing of PyMC) in this folder is collected."""

import importlib
import importlib.util
import warnings

collect_ignore_glob = [] if importlib.util.find_spec("pytensor") else ["*"]
collect_ignore = [] if importlib.util.find_spec("pymc") else ["test_pymc.py"]

for _name in ("pytensor", "pymc"):
    if importlib.util.find_spec(_name):
        with warnings.catch_warnings():  # ArviZ announces its next version while it is imported
            warnings.simplefilter("ignore")
            importlib.import_module(_name)
