"""What functions for memory are on this machine: a block of C's `malloc` begins with the number of references
to it, in 16 bytes, so that what follows is as aligned as the block is."""

from __future__ import annotations

from fwddiff.engines.numba.ssa.functions import BORROW, GIVE

# The first 16 bytes of a block are for who takes it: what is written there, and behind the size, what for.
_TAKEN = """define internal noalias ptr @"fwddiff.%s"(i64 %%n%s) alwaysinline {
entry:
  %%whole = add i64 %%n, 16
  %%block = call ptr @malloc(i64 %%whole)
  %%none = icmp eq ptr %%block, null
  br i1 %%none, label %%end, label %%there
there:
%s
  %%data = getelementptr i8, ptr %%block, i64 16
  br label %%end
end:
  %%result = phi ptr [ null, %%entry ], [ %%data, %%there ]
  ret ptr %%result
}
"""

ALLOCATE = _TAKEN % ("allocate", "", "  store i64 1, ptr %block, align 8")

# What changes the number of references: nothing is done to no memory.
_COUNTED = """define internal void @"fwddiff.%s"(ptr %%data) alwaysinline {
entry:
  %%none = icmp eq ptr %%data, null
  br i1 %%none, label %%end, label %%there
there:
  %%block = getelementptr i8, ptr %%data, i64 -16
  %%count = load i64, ptr %%block, align 8
  %%new = add i64 %%count, %d
  store i64 %%new, ptr %%block, align 8
%s
end:
  ret void
}
"""

RETAIN = _COUNTED % ("retain", 1, "  br label %end")

RELEASE = _COUNTED % (
    "release",
    -1,
    """  %last = icmp eq i64 %new, 0
  br i1 %last, label %free, label %end
free:
  call void @free(ptr %block)
  br label %end""",
)

FILL = """define internal void @"fwddiff.fill"(ptr %data, i64 %n) alwaysinline {
entry:
  br label %head
head:
  %at = phi i64 [ 0, %entry ], [ %next, %body ]
  %more = icmp slt i64 %at, %n
  br i1 %more, label %body, label %end
body:
  %place = getelementptr i8, ptr %data, i64 %at
  store double -0.0, ptr %place, align 8
  %next = add i64 %at, 8
  br label %head
end:
  ret void
}
"""

# A chain is the address of its last block; a block begins with the address of the one before.
KEEP = _TAKEN % (
    "keep",
    ", ptr %chain",
    """  %before = load ptr, ptr %chain, align 8
  store ptr %before, ptr %block, align 8
  store ptr %block, ptr %chain, align 8""",
)

FORGET = """define internal void @"fwddiff.forget"(ptr %chain) alwaysinline {
entry:
  %last = load ptr, ptr %chain, align 8
  br label %head
head:
  %block = phi ptr [ %last, %entry ], [ %before, %body ]
  %none = icmp eq ptr %block, null
  br i1 %none, label %end, label %body
body:
  %before = load ptr, ptr %block, align 8
  call void @free(ptr %block)
  br label %head
end:
  ret void
}
"""

# A buffer's memory stays with the kernel: one block per buffer, which whoever comes first takes out of its
# place and puts back. Who finds none, because another thread has it, makes one, and who finds the place taken
# frees the own one; so a kernel that is called by one thread allocates once. A block begins with its size.
_BORROW = """define internal noalias ptr @"fwddiff.borrow.%(n)s"(i64 %%n) alwaysinline {
entry:
  %%kept = atomicrmw xchg ptr @"fwddiff.kept.%(n)s", i64 0 acq_rel
  %%known = inttoptr i64 %%kept to ptr
  %%none = icmp eq i64 %%kept, 0
  br i1 %%none, label %%make, label %%look
look:
  %%size = load i64, ptr %%known, align 8
  %%small = icmp slt i64 %%size, %%n
  br i1 %%small, label %%grow, label %%there
grow:
  call void @free(ptr %%known)
  br label %%make
make:
  %%whole = add i64 %%n, 16
  %%new = call ptr @malloc(i64 %%whole)
  %%failed = icmp eq ptr %%new, null
  br i1 %%failed, label %%end, label %%made
made:
  store i64 %%n, ptr %%new, align 8
  br label %%there
there:
  %%block = phi ptr [ %%known, %%look ], [ %%new, %%made ]
  %%data = getelementptr i8, ptr %%block, i64 16
  br label %%end
end:
  %%result = phi ptr [ null, %%make ], [ %%data, %%there ]
  ret ptr %%result
}
"""

_GIVE = """define internal void @"fwddiff.give.%(n)s"(ptr %%data) alwaysinline {
entry:
  %%block = getelementptr i8, ptr %%data, i64 -16
  %%address = ptrtoint ptr %%block to i64
  %%other = atomicrmw xchg ptr @"fwddiff.kept.%(n)s", i64 %%address acq_rel
  %%old = inttoptr i64 %%other to ptr
  call void @free(ptr %%old)
  ret void
}
"""

_KEPT = '@"fwddiff.kept.%s" = internal global i64 0, align 8'

# Of the C library.
DECLARATIONS = {"malloc": "declare noalias ptr @malloc(i64)", "free": "declare void @free(ptr)"}
_DEFINITIONS: dict[str, tuple[str, dict[str, str]]] = {
    "fwddiff.allocate": (ALLOCATE, {"malloc": DECLARATIONS["malloc"]}),
    "fwddiff.retain": (RETAIN, {}),
    "fwddiff.release": (RELEASE, {"free": DECLARATIONS["free"]}),
    "fwddiff.fill": (FILL, {}),
    "fwddiff.keep": (KEEP, {"malloc": DECLARATIONS["malloc"]}),
    "fwddiff.forget": (FORGET, {"free": DECLARATIONS["free"]}),
}


def definition(name: str) -> tuple[str, dict[str, str]] | None:
    """Of a function for memory: the definition, and the declarations that it needs, by name."""
    number = name.rpartition(".")[2]
    for prefix, text in ((BORROW, _BORROW), (GIVE, _GIVE)):
        if name.startswith(prefix):
            return text % {"n": number}, {f"fwddiff.kept.{number}": _KEPT % number, **DECLARATIONS}
    return _DEFINITIONS.get(name)
