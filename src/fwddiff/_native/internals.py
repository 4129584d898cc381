"""What fwddiff uses of Numba beside its public interface: no other file imports these modules.

Numba documents `njit`, `numba.types` and `numba.extending`; its passes, typing templates and code generation
move from release to release. What moves is followed here. Where something is gone, the import says which
releases of Numba fwddiff knows, rather than fail by a name that the user never wrote.

    compiling     ir, passes, compiler      the bytecode of a function and Numba's form of it
    typing        templates, signature      what a call of a function returns
    lowering      cgutils, arrayobj         how a value lies in LLVM's registers and memory
    targets       cpu_target, cpu, codegen  the process's tables, and fwddiff's target beside them
"""

# Numba's modules export what no stub lists; who uses these names is elsewhere.
# ruff: noqa: F401
# pyright: reportAttributeAccessIssue=false, reportMissingImports=false

from __future__ import annotations

import numba

OLDEST, NEWEST = "0.65", "0.68"  # releases that the tests ran with

try:
    from numba.core import (
        analysis,
        bytecode,
        callconv,
        cgutils,
        compiler,
        config,
        cpu,
        dispatcher,
        errors,
        inline_closurecall,
        interpreter,
        ir,
        ir_utils,
        postproc,
        rewrites,
        target_extension,
        typed_passes,
        typing,
        utils,
    )
    from numba.core.analysis import compute_cfg_from_blocks
    from numba.core.codegen import CodeLibrary, JITCPUCodegen, get_host_cpu_features
    from numba.core.compiler import CompilerBase, DefaultPassBuilder
    from numba.core.compiler_lock import global_compiler_lock
    from numba.core.compiler_machinery import FunctionPass, register_pass
    from numba.core.descriptors import TargetDescriptor
    from numba.core.imputils import impl_ret_borrowed, lower_getattr_generic
    from numba.core.ir_utils import find_callname, fixup_var_define_in_scope, get_definition, guard
    from numba.core.registry import cpu_target
    from numba.core.rewrites.registry import Rewrite, register_rewrite
    from numba.core.runtime.context import NRTContext
    from numba.core.runtime.nrt import rtsys
    from numba.core.typed_passes import NopythonTypeInference
    from numba.core.typing import templates
    from numba.core.typing.templates import (
        AbstractTemplate,
        AttributeTemplate,
        builtin_registry,
        infer,
        infer_getattr,
        infer_global,
        signature,
    )
    from numba.core.untyped_passes import (
        InlineClosureLikes,
        ReconstructSSA,
        TranslateByteCode,
    )
    from numba.cpython import listobj
    from numba.np import arrayobj, numpy_support
except ImportError as error:
    raise ImportError(
        f"fwddiff knows the inside of Numba {OLDEST} to {NEWEST}, and here is {numba.__version__}, where "
        f"something is elsewhere ({error}): pip install 'numba~={NEWEST}.0'"
    ) from error
