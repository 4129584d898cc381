"""Functions of the table whose slopes are those of their code: put in the place of their calls before a
derivative is taken that asks for these.

Where only arguments are active whose slopes are texts, the call stays: one call, and no loop to
differentiate.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from fwddiff import rules
from fwddiff.engines.numba.ssa import special
from fwddiff.engines.numba.ssa.activity import Activity
from fwddiff.engines.numba.ssa.code import Instruction
from fwddiff.engines.numba.ssa.function import Function, as_core, numbers_of, simplified
from fwddiff.engines.numba.ssa.functions import meaning


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
    row = rules.TABLE.get(meaning(i.callee) or "") if i.operation == "call" else None
    if row is None or None not in row.partials:
        return False
    return any(p is None and activity.of(o) for o, p in zip(i.operands, row.partials, strict=True))


def _with_code(base: Function, calls: dict[str, Instruction], bodies: special.Bodies) -> Function:
    text, defined, outside = base.text, [], {}
    for callee, i in calls.items():
        function, name = bodies(meaning(callee) or ""), f"{callee}.code"
        assert i.result is not None
        text = re.sub(rf'^declare [^\n]*@"?{re.escape(callee)}"?\([^\n]*\n', "", text, flags=re.M)
        kinds = [o.type for o in i.operands]
        assert len(kinds) == len(numbers_of(function.inputs))
        defined.append(as_core(function, name))
        defined.append(special.value_of_core(callee, name, kinds, i.result.type, "inlined"))
        outside |= function.code.outside
    kept = [line for line in outside.values() if not _is_there(line, text, calls)]
    return simplified("\n".join([text, *defined, *kept]), base.symbol, base.inputs, base.outputs)


def _is_there(declaration: str, text: str, calls: dict[str, Instruction]) -> bool:
    found = re.search(r'@"?([\w.$-]+)"?\(', declaration)
    name = found.group(1) if found else ""
    there = re.search(rf'^declare [^\n]*@"?{re.escape(name)}"?\(', text, flags=re.M)
    return name in calls or name == "fwddiff.return" or there is not None
