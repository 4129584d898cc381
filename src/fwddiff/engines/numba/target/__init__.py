"""Devices: LLVM's text made into something that runs.

cpu    this processor
"""
