"""MLX is an extra: without it, nothing in this folder is collected."""

import importlib.util

collect_ignore_glob = [] if importlib.util.find_spec("mlx") else ["*"]
