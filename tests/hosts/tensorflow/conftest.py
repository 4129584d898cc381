"""TensorFlow is an extra: without it, nothing in this folder is collected."""

import importlib.util
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

collect_ignore_glob = [] if importlib.util.find_spec("tensorflow") else ["*"]
