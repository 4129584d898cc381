"""PyTorch cannot be installed on every Python: without it, nothing in this folder is collected."""

import importlib.util

collect_ignore_glob = [] if importlib.util.find_spec("torch") else ["*"]
