"""Everything that fwddiff takes from inside TensorFlow, in one place, so that a new release is checked here.

`tf.custom_gradient` cannot say which inputs want a gradient, drops tangents inside `tf.function`, and costs
three times as much per eager call as what it calls itself.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

_pywrap: Any = importlib.import_module("tensorflow.python.pywrap_tfe")
_record: Any = importlib.import_module("tensorflow.python.eager.record")
_script_ops: Any = importlib.import_module("tensorflow.python.ops.script_ops")
_control_flow: Any = importlib.import_module("tensorflow.python.ops.control_flow_util")

record_operation: Callable[..., None] = _record.record_operation
stop_recording: Callable[[], Any] = _record.stop_recording


def nothing_records() -> bool:
    """Whether no tape and no forward accumulator of this thread is active."""
    return _pywrap.TFE_Py_TapeSetIsEmpty()


def is_watched(tensor: Any) -> bool:
    """Whether a tape wants the gradient by this tensor."""
    return _pywrap.TFE_Py_TapeSetShouldRecordBackprop([tensor])


def moving(tensors: Sequence[Any]) -> set[int]:
    """Positions of the tensors that carry a tangent in some forward accumulator."""
    # With nested accumulators, tangents have tangents; those come after the tensors.
    per_accumulator, _ = _pywrap.TFE_Py_PackJVPs(list(tensors))
    return {position for pairs in per_accumulator for position, _ in pairs if position < len(tensors)}


def callback_token(callback: Callable) -> str:
    """What `PyFuncStateless` calls this function by, as long as the caller keeps it alive.

    `tf.numpy_function` makes a new token at each trace and keeps the function for the life of the process.
    """
    return _script_ops._py_funcs.insert(callback)


def is_compiled_by_xla(graph: Any) -> bool:
    """Whether this graph is traced for `jit_compile=True`."""
    return _control_flow.GraphOrParentsInXlaContext(graph)
