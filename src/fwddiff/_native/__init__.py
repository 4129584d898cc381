"""How compiled kernels are called, whoever calls them: memory, and the division of a call among threads.

A kernel is a C function `int64 kernel(int64 *pointers, int64 *layout)`: addresses of the operands, and a
table that its engine made. `tasks.run` calls it. Nothing here knows rules, engines or hosts.

    memory, tasks                      operands and layouts; calls divided among threads
    interrupts                         Ctrl-C in a kernel
    disk, machine_code, environment    files of machine code, and what it depends on
    kept                               the package's own C functions, from disk
"""

import time

# Sources that are newer may hold other code than what runs.
IMPORTED = time.time()
