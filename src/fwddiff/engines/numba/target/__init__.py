"""Devices: LLVM's text made into something that runs.

cpu            this processor
vector_math    the C library's functions of several elements
elementary     which functions are our own instructions instead
"""
