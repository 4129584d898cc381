"""Functions of the table whose slopes are those of their code: put in the place of their calls before a
derivative is taken that asks for these.

Where only arguments are active whose slopes are texts, the call stays: one call, and no loop to
differentiate.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from fwddiff.engines.numba.ssa import special
from fwddiff.engines.numba.ssa.activity import Activity
from fwddiff.engines.numba.ssa.code import Instruction
from fwddiff.engines.numba.ssa.function import Function, as_core, simplified
from fwddiff.engines.numba.ssa.functions import meaning, row_of


def expanded(base: Function, active: Sequence[int], bodies: special.Bodies) -> Function:
    """The function with the code of those that it calls, as far as derivatives by the `active` inputs need
    it; that code may call others."""
    while True:
        activity = Activity(base.code, {base.arguments[0][a].value.text: 1 for a in active})
        calls = [i for i in base.code.instructions if _is_asked_for(i, activity)]
        if not calls:
            return base
        base = _with_code(base, {i.callee: i for i in calls}, bodies)


def _is_asked_for(i: Instruction, activity: Activity) -> bool:
    row = row_of(meaning(i.callee) or "") if i.operation == "call" else None
    if row is None or None not in row.partials:
        return False
    return any(p is None and activity.of(o) for o, p in zip(i.operands, row.partials, strict=True))


def _with_code(base: Function, calls: dict[str, Instruction], bodies: special.Bodies) -> Function:
    text, defined, outside = base.text, [], {}
    for callee, i in calls.items():
        row = row_of(meaning(callee) or "")
        assert row is not None
        function, name = bodies(row.name), f"{callee}.code"
        assert i.result is not None
        # The calls are renamed, because the value may be one of the function itself.
        text = re.sub(
            rf'(call [^@\n]*@"?{re.escape(callee)})"?\(', rf'call {i.result.type} @"{name}.put"(', text
        )
        apart = row.record.apart if row.record is not None else ()
        value = callee if apart or (row.record is not None and row.record.scipy_value) else ""
        kinds = [o.type for o in i.operands]
        put, needed = special.put(f"{name}.put", name, kinds, i.result.type, value, apart)
        defined += [as_core(function, name), put]
        outside |= function.code.outside | needed
    kept = [line for name, line in outside.items() if not _is_declared(name, text)]
    return simplified("\n".join([text, *defined, *kept]), base.symbol, base.inputs, base.outputs)


def _is_declared(name: str, text: str) -> bool:
    found = re.search(rf'^declare [^\n]*@"?{re.escape(name)}"?\(', text, flags=re.M)
    return name == "fwddiff.return" or found is not None
