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

RETAIN = """define internal void @"fwddiff.retain"(ptr %data) alwaysinline {
entry:
  %none = icmp eq ptr %data, null
  br i1 %none, label %end, label %there
there:
  %block = getelementptr i8, ptr %data, i64 -16
  %count = load i64, ptr %block, align 8
  %more = add i64 %count, 1
  store i64 %more, ptr %block, align 8
  br label %end
end:
  ret void
}
"""

RELEASE = """define internal void @"fwddiff.release"(ptr %data) alwaysinline {
entry:
  %none = icmp eq ptr %data, null
  br i1 %none, label %end, label %there
there:
  %block = getelementptr i8, ptr %data, i64 -16
  %count = load i64, ptr %block, align 8
  %less = sub i64 %count, 1
  store i64 %less, ptr %block, align 8
  %last = icmp eq i64 %less, 0
  br i1 %last, label %free, label %end
free:
  call void @free(ptr %block)
  br label %end
end:
  ret void
}
"""

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

# By name: the definition, and the declarations that it needs.
DEFINITIONS: dict[str, tuple[str, dict[str, str]]] = {
    "fwddiff.allocate": (ALLOCATE, {"malloc": "declare noalias ptr @malloc(i64)"}),
    "fwddiff.retain": (RETAIN, {}),
    "fwddiff.release": (RELEASE, {"free": "declare void @free(ptr)"}),
    "fwddiff.fill": (FILL, {}),
}
