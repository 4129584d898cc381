"""What functions for memory are on this machine: a block of C's `malloc` begins with the number of references
to it, in 16 bytes, so that what follows is as aligned as the block is."""

from __future__ import annotations

ALLOCATE = """define internal noalias ptr @"fwddiff.allocate"(i64 %n) alwaysinline {
entry:
  %whole = add i64 %n, 16
  %block = call ptr @malloc(i64 %whole)
  %none = icmp eq ptr %block, null
  br i1 %none, label %end, label %there
there:
  store i64 1, ptr %block, align 8
  %data = getelementptr i8, ptr %block, i64 16
  br label %end
end:
  %result = phi ptr [ null, %entry ], [ %data, %there ]
  ret ptr %result
}
"""

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

# Of the C library.
DECLARATIONS = {"malloc": "declare noalias ptr @malloc(i64)", "free": "declare void @free(ptr)"}
# By name: the definition, and the declarations that it needs.
DEFINITIONS: dict[str, tuple[str, dict[str, str]]] = {
    "fwddiff.allocate": (ALLOCATE, {"malloc": DECLARATIONS["malloc"]}),
    "fwddiff.retain": (RETAIN, {}),
    "fwddiff.release": (RELEASE, {"free": DECLARATIONS["free"]}),
    "fwddiff.fill": (FILL, {}),
}
