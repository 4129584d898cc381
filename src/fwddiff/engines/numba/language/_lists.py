"""Lists on plain numbers: a head, which says how many items there are and where, and memory of the items.

In Numba's own lists the items follow the head, in memory that its run time may move elsewhere. Here the head
stays where it is and points to the items, so that differentiation can follow both (`ssa.places`). References
to heads are counted as those to arrays are; memory of items, and all memory of functions in whose lists there
are references, is freed where the core function ends.
"""

# Private: Numba has no interface for how its lists lie in memory.
# pyright: reportAttributeAccessIssue=false, reportIncompatibleMethodOverride=false

from __future__ import annotations

import re
from typing import Any

from llvmlite import ir

from fwddiff._native.internals import cgutils, listobj
from fwddiff.engines.numba.language._arrays import Memory
from fwddiff.engines.numba.ssa.functions import ALLOCATE, FORGET, KEEP, RELEASE, RETAIN

_INT64, _POINTER = ir.IntType(64), ir.IntType(8).as_pointer()
# Behind the 24 bytes that Numba's own head has: the address of the items, and how many bytes they have.
_ITEMS, _BYTES, _HEAD = 24, 32, 40


class MemoryOfLists(Memory):
    def meminfo_new_varsize_dtor_unchecked(self, builder: Any, size: Any, dtor: Any) -> Any:
        head = self._allocated(builder, _INT64(_HEAD))
        self._put(builder, head, self._allocated(builder, size, KEEP), size)
        return head

    def meminfo_varsize_realloc_unchecked(self, builder: Any, head: Any, size: Any) -> Any:
        items, before = _items(builder, head), builder.load(_place(builder, head, _BYTES, _INT64))
        larger = self._allocated(builder, size, KEEP)
        kept = builder.select(builder.icmp_signed("<", size, before), size, before)
        cgutils.raw_memcpy(builder, larger, items, kept, 1)
        self._put(builder, head, larger, size)
        return larger

    def _put(self, builder: Any, head: Any, items: Any, size: Any) -> None:
        builder.store(items, _place(builder, head, _ITEMS, _POINTER))
        builder.store(size, _place(builder, head, _BYTES, _INT64))


def _place(builder: Any, head: Any, offset: int, kind: Any) -> Any:
    return builder.bitcast(builder.gep(head, [_INT64(offset)]), kind.as_pointer())


def _items(builder: Any, head: Any) -> Any:
    return builder.load(_place(builder, head, _ITEMS, _POINTER))


def _data(self: Any) -> Any:
    """The items of a list, for `numba.cpython.listobj`."""
    own = _of_numba(self)
    if self._context.target_name != "fwddiff":
        return own
    head = self._builder.bitcast(self._payload._getpointer(), _POINTER)
    return self._builder.bitcast(_items(self._builder, head), own.type)


_of_numba: Any = listobj._ListPayloadMixin.data.fget
listobj._ListPayloadMixin.data = property(_data)


# --- memory that is freed at the end ------------------------------------------------------------------------

_ARENA = '%"fwddiff.arena"'
_DESTRUCTOR = re.compile(r"^define [^\n]*\.dtor\.list\.[^\n]*\n(.*?)^\}", re.M | re.S)
_COUNT = re.compile(rf'^\s*call void @"?(?:{RETAIN}|{RELEASE})"?\([^\n]*\n', re.M)
_KEPT = re.compile(rf'(call ptr @"?{KEEP}"?\(i64 [^)\n]+)\)')


def kept_to_the_end(text: str, sources: list[str]) -> str:
    """The module of a core function whose lists' memory is taken from a chain that ends with the function.

    `sources` are the texts it was made of: where a list's destructor releases, items are references.
    """
    if any(RELEASE in found.group(1) for source in sources for found in _DESTRUCTOR.finditer(source)):
        text = (
            _COUNT.sub("", text).replace(f'@"{ALLOCATE}"', f'@"{KEEP}"').replace(f"@{ALLOCATE}", f"@{KEEP}")
        )
    if KEEP not in text:
        return text
    text = re.sub(rf"^declare [^\n]*@\"?{KEEP}\"?\(.*\n", "", text, flags=re.M)
    text = _KEPT.sub(rf"\1, ptr {_ARENA})", text)
    text = re.sub(r"^(\s*)(ret i32 )", rf'\1call void @"{FORGET}"(ptr {_ARENA})\n\1\2', text, flags=re.M)
    start = f"  {_ARENA} = alloca ptr, align 8\n  store ptr null, ptr {_ARENA}, align 8\n"
    text = re.sub(r"^(define [^\n]*\{\n\S+:[^\n]*\n)", rf"\g<1>{start}", text, count=1, flags=re.M)
    return f'{text}\ndeclare noalias ptr @"{KEEP}"(i64, ptr)\ndeclare void @"{FORGET}"(ptr)\n'
