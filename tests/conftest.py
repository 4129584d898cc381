"""Tests compile what they test: kernels that an earlier run left on disk are not used, and none are left."""

import os

os.environ.setdefault("FWDDIFF_CACHE_DIR", "off")
