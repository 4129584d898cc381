"""Source of derived core functions: forward-mode passes through a function of leaves.

The engine of Python runs this text on duals. It calls the base function `f(*leaves) → tuple of leaves`, and
these primitives, which belong to one level of differentiation:

    seed_<k>(x)            number → dual whose partial k is one and whose others are structurally zero
    lift(x, t)             number or array and its tangent → dual with one partial
    seed_at(x, k)          number → dual of a whole chunk; partial k is one if 0 <= k < chunk, all others zero
    seed_array(x, k)       array → array of duals; element e has partial k + e one if that is inside the chunk
    value(y)               y without this level
    value_array(y)         every element of y without this level
    partial_<k>(y)         partial k of y, zero if it has none
    tangent_array(y)       partial 0 of every element
    weighted_<k>(c, y)     c * partial k of y, summed over the elements if they are arrays
    zeros(x)               array of zeros like x, to be filled with cotangents
    chunk_partials(y)      the partials of a whole chunk as a tuple
    chunk_weighted(c, y)   the same, times c, summed over the elements
    chunk_sum(p, q)        sum of two such tuples
    pick(p, k, default)    p[k] if k is inside the chunk
    scatter(array, p, k)   array.flat[e] = p[k + e] wherever k + e is inside the chunk
    block(y, x)            array of zeros with the axes of y, then those of x, to be filled with derivatives
    scatter_rows(m, y, k)  element i of y by element e: its partial k + e, if that is inside the chunk

Scalar inputs few enough for one pass are seeded statically; arrays and longer lists go through in chunks, as
in ForwardDiff.jl (Revels, Lubin, Papamarkou 2016, arXiv 1607.07892).
"""

from __future__ import annotations

from collections.abc import Sequence

from fwddiff._rule import Slot, split_kind

SINGLE_PASS = 12  # most partials that travel in one pass of statically seeded numbers
CHUNK = 12  # partials per pass where the number of inputs is known at run time only (measured, 4 to 24)

OUTERMOST_LEVEL = 1000


def chunk_of(depth: int) -> int:
    """Partials per pass of a derivative of this order, 0 for the first: duals of duals hold as many numbers
    as the product of their chunks."""
    return max(1, CHUNK >> depth)


def in_one_pass(inputs: Sequence[Slot], active: Sequence[int], chunk: int | None) -> bool:
    return len(active) <= (chunk or SINGLE_PASS) and all(inputs[a].core_ndim == 0 for a in active)


def derived_source(
    kind: str,
    inputs: Sequence[Slot],
    outputs: Sequence[Slot],
    active: Sequence[int],
    chunk: int | None,
) -> str:
    """Text of a function named `kind`, of the derived rule's inputs, that returns the tuple of its
    outputs."""
    plain, with_values = split_kind(kind)
    values = [_value(f"y[{j}]", slot) for j, slot in enumerate(outputs)] if with_values else []
    results = [j for j, slot in enumerate(outputs) if slot.differentiable]
    names = [f"x{i}" for i in range(len(inputs))]
    if plain == "pushforward":
        extra = [f"t{a}" for a in active]
        body = _pushforward(names, inputs, outputs, active, results, values)
    elif plain == "jacobian":
        extra, body = [], _jacobian(names, inputs, outputs, active, results, values)
    else:
        extra = [f"c{j}" for j in results] if plain == "pullback" else []
        write = _static if in_one_pass(inputs, active, chunk) else _chunked
        body = write(plain, names, inputs, active, results, values)
    lines = "\n".join(f"    {line}" for line in body)
    return f"def {kind}({', '.join(names + extra)}):\n{lines}\n"


def _tuple(items: Sequence[str]) -> str:
    return "(" + "".join(f"{item}, " for item in items) + ")"


def _value(y: str, slot: Slot) -> str:
    return f"value_array({y})" if slot.core_ndim else f"value({y})"


def _pushforward(names, inputs, outputs, active, results, values) -> list[str]:
    arguments = [f"lift({x}, t{i})" if i in active else x for i, x in enumerate(names)]
    tangents = [f"tangent_array(y[{j}])" if outputs[j].core_ndim else f"partial_0(y[{j}])" for j in results]
    return [f"y = f({', '.join(arguments)})", f"return {_tuple(values + tangents)}"]


def _static(kind, names, inputs, active, results, values) -> list[str]:
    position = {a: k for k, a in enumerate(active)}
    arguments = [f"seed_{position[i]}({x})" if i in position else x for i, x in enumerate(names)]
    first = f"y = f({', '.join(arguments)})"
    if kind == "pullback":
        sums = [
            " + ".join(f"weighted_{k}(c{j}, y[{j}])" for j in results) or "0.0" for k in position.values()
        ]
        return [first, f"return {_tuple(values + sums)}"]
    partials = [f"partial_{k}(y[{j}])" for j in results for k in position.values()]
    return [first, f"return {_tuple(values + partials)}"]


def _chunked(kind, names, inputs, active, results, values) -> list[str]:
    """Loop over chunks of the inputs' elements, one pass through f each."""
    starts, total = {}, "0"
    for a in active:
        starts[a] = f"({total}) - start"
        total += f" + {names[a]}.size" if inputs[a].core_ndim else " + 1"
    sums = [("", results)] if kind == "pullback" else [(f"_{j}", [j]) for j in results]
    gathered = [(f"g{a}{tag}", f"p{tag}", a) for tag, _ in sums for a in active]
    body = [f"{g} = zeros({names[a]})" if inputs[a].core_ndim else f"{g} = 0.0" for g, _, a in gathered]
    arguments = [_chunk_argument(names[i], slot, starts.get(i)) for i, slot in enumerate(inputs)]
    body += [f"for start in range(0, max(1, {total}), chunk):"]
    body += [f"    y = f({', '.join(arguments)})"]
    body += [f"    p{tag} = {_chunk_sum(kind, js)}" for tag, js in sums]
    for g, p, a in gathered:
        body.append(
            f"    scatter({g}, {p}, {starts[a]})"
            if inputs[a].core_ndim
            else f"    {g} = pick({p}, {starts[a]}, {g})"
        )
    return [*body, f"return {_tuple(values + [g for g, _, _ in gathered])}"]


def _jacobian(names, inputs, outputs, active, results, values) -> list[str]:
    """Loop over chunks of the inputs' elements; what the derivatives look like is known after one pass. That
    of a number by a number is a number."""
    starts, total = {}, "0"
    for a in active:
        starts[a] = f"({total}) - start"
        total += f" + {names[a]}.size" if inputs[a].core_ndim else " + 1"
    arguments = [_chunk_argument(names[i], slot, starts.get(i)) for i, slot in enumerate(inputs)]
    found = [(f"m{j}_{a}", j, a) for j in results for a in active]
    blocks = [(m, j, a) for m, j, a in found if inputs[a].core_ndim or outputs[j].core_ndim]
    numbers = [each for each in found if each not in blocks]
    body = [f"{m} = 0.0" for m, _, _ in numbers]
    body += [f"for start in range(0, max(1, {total}), chunk):", f"    y = f({', '.join(arguments)})"]
    if blocks:
        body += ["    if start == 0:", *(f"        {m} = block(y[{j}], {names[a]})" for m, j, a in blocks)]
    body += [f"    scatter_rows({m}, y[{j}], {starts[a]})" for m, j, a in blocks]
    body += [f"    {m} = pick(chunk_partials(y[{j}]), {starts[a]}, {m})" for m, j, a in numbers]
    return [*body, f"return {_tuple(values + [m for m, _, _ in found])}"]


def _chunk_argument(name: str, slot: Slot, start: str | None) -> str:
    if start is None:
        return name
    return f"seed_array({name}, {start})" if slot.core_ndim else f"seed_at({name}, {start})"


def _chunk_sum(kind: str, results: Sequence[int]) -> str:
    terms = [
        f"chunk_weighted(c{j}, y[{j}])" if kind == "pullback" else f"chunk_partials(y[{j}])" for j in results
    ]
    text = terms[0]
    for term in terms[1:]:
        text = f"chunk_sum({text}, {term})"
    return text
