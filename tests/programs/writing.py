"""Hypothesis strategies for programs: source text, nested arguments, shapes, dtype, options."""

from __future__ import annotations

import random
import re
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from programs.pieces import POSITIVE, SQUASHED, TEMPLATES
from programs.ruled import TAUGHT, definition
from programs.structs import Box, Pair

SHAPES = {
    (): [()],
    (3,): [(3,), (1,), (), (3,)],
    (2, 3): [(2, 3), (3,), (2, 1), (1, 3), ()],
}
_LETTER = re.compile(r"\b[ABSPC]\b")


class Callee(NamedTuple):
    """A function that expressions call: parameters without and with default, and whether those need names."""

    name: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    by_name: bool = False


class Program(NamedTuple):
    """`source` defines `program`; `arguments` are NumPy leaves in structs, for `broadcast`."""

    source: str
    arguments: tuple
    mode: str
    passes: str

    def __repr__(self) -> str:
        return f"\n{self.source}\narguments = {self.arguments!r}\nmode={self.mode!r}, passes={self.passes!r}"


class Writer:
    """Writes one program; every choice is drawn, so that Hypothesis can make it smaller."""

    def __init__(self, draw, size: int):
        self.draw, self.size = draw, size
        self.lines: list[str] = []
        self.floats: list[str] = []
        self.integers: list[str] = []
        self.flags: list[str] = []
        self.optionals: list[str] = []
        self.helpers: list[Callee] = []
        self.inner: list[Callee] = []
        self.constants = random.Random(self.choose(range(1000)))
        self.names = 0
        self.budget = 0

    def choose(self, options) -> Any:
        return self.draw(st.sampled_from(list(options)))

    def constant(self, low: float = -1.7, high: float = 1.7) -> str:
        """A number that nothing else in the program equals."""
        return f"{self.constants.uniform(low, high):.9f}"

    def name(self, prefix: str = "t") -> str:
        self.names += 1
        return f"{prefix}{self.names}"

    # --- expressions ----------------------------------------------------------------------------------------

    def expression(self, depth: int = 2) -> str:
        self.budget -= 1
        if depth == 0 or self.budget <= 0:
            return self.atom()
        kind = self.choose(["template"] * 8 + ["atom", "call", "call", "integer", "comprehension"])
        if kind == "call" and (self.helpers or self.inner):
            return self.call(self.choose(self.helpers + self.inner), depth - 1)
        if kind == "comprehension":
            return self.comprehension(depth - 1)
        if kind == "integer" and self.integers:
            return f"({self.expression(depth - 1)}) * {self.choose(self.integers)}"
        if kind == "atom":
            return self.atom()
        return self.filled(self.choose(TEMPLATES), depth - 1)

    def call(self, callee: Callee, depth: int) -> str:
        """By position, by name in any order, with and without what has a default."""
        given = [*callee.required, *(name for name in callee.optional if self.choose([True, False]))]
        positional = self.choose(range(len(given) + 1))
        if callee.by_name:
            positional = min(positional, len(callee.required))
        named = [f"{name}={self.expression(depth)}" for name in given[positional:]]
        if self.choose([True, False]):
            named.reverse()
        return f"{callee.name}({', '.join([self.expression(depth) for _ in given[:positional]] + named)})"

    def comprehension(self, depth: int) -> str:
        index = self.name("j")
        self.integers.append(index)
        text = f"{self.expression(depth)} * ({index} + {self.constant(0.2, 1.6)})"
        self.integers.remove(index)
        brackets = self.choose(["sum([{}])", "sum({})", "max([{}])"])
        return f"(0.3 * {brackets.format(f'{text} for {index} in range({self.choose([2, 3])})')})"

    def atom(self) -> str:
        if self.floats and self.choose([True] * 5 + [False]):
            return self.choose(self.floats)
        return self.constant()

    def filled(self, template: str, depth: int) -> str:
        """The template with its letters replaced; one expression per letter, as A + A needs."""
        pieces: dict[str, str] = {}
        for letter in dict.fromkeys(_LETTER.findall(template)):
            if letter in "AB":
                pieces[letter] = f"({self.expression(depth)})"
            elif letter == "C":
                pieces[letter] = self.constant(0.2, 1.6)
            else:
                options = SQUASHED if letter == "S" else POSITIVE
                pieces[letter] = f"({self.filled(self.choose(options), depth)})"
        filled = _LETTER.sub(lambda match: pieces[match[0]], template)
        return f"({filled})"

    def condition(self) -> str:
        kind = self.choose(["constant", "constant", "two", "and", "chain", "not", "flag", "integer"])
        if kind == "flag" and self.flags:
            return self.choose(self.flags)
        if kind == "integer" and self.integers:
            return f"{self.choose(self.integers)} > 1"
        if kind == "two":
            return f"{self.expression(1)} < {self.expression(1)} + {self.constant()}"
        if kind == "and":
            return f"{self.expression(1)} < {self.constant()} and {self.expression(1)} > {self.constant()}"
        if kind == "chain":
            return f"-0.731 < {self.expression(1)} < {self.constant(0.0, 1.7)}"
        if kind == "not":
            return f"not ({self.expression(1)} >= {self.constant()})"
        return f"{self.expression(1)} {self.choose('<>')} {self.constant()}"

    # --- statements -----------------------------------------------------------------------------------------

    def line(self, text: str, indent: int) -> None:
        self.lines.append("    " * indent + text)

    def assign(self, indent: int = 1) -> None:
        text, name = self.expression(3), self.name()
        self.line(f"{name} = {text}", indent)
        self.floats.append(name)

    def augmented(self, indent: int = 1) -> None:
        own = [name for name in self.floats if re.fullmatch(r"t\d+", name)]
        if not own:
            return self.assign(indent)
        self.line(f"{self.choose(own)} {self.choose(['+=', '-='])} {self.expression(2)}", indent)

    def branch(self, indent: int = 1) -> None:
        """A variable that both branches assign, one of them perhaps with a bare number."""
        name = self.name()
        self.line(f"if {self.condition()}:", indent)
        self.line(f"{name} = {self.expression(2)}", indent + 1)
        other = self.choose(["expression", "bare", "elif", "missing"])
        if other == "missing":
            self.lines.insert(len(self.lines) - 2, "    " * indent + f"{name} = {self.expression(1)}")
        else:
            if other == "elif":
                self.line(f"elif {self.condition()}:", indent)
                self.line(f"{name} = {self.constant()}", indent + 1)
            self.line("else:", indent)
            self.line(
                f"{name} = {self.choose(['0.0', '1.0', '-0.5']) if other == 'bare' else self.expression(2)}",
                indent + 1,
            )
        self.floats.append(name)

    def for_loop(self, indent: int = 1) -> None:
        name, index = self.name(), self.name("k")
        exit_kind = self.choose(["none", "none", "break", "continue"])
        integer = "0.0" if exit_kind == "break" else "0"  # which must not stay one
        self.line(f"{name} = {self.choose(['0.0', integer, self.expression(1)])}", indent)
        extent = self.choose(["3", "2", "range(1, 4)", *(f"{n} + 1" for n in self.integers)])
        self.line(f"for {index} in {extent if 'range' in extent else f'range({extent})'}:", indent)
        self.floats.append(name)
        self.integers.append(index)
        if exit_kind != "none":
            self.line(f"if {self.condition()}:", indent + 1)
            if exit_kind == "break":
                self.line("break", indent + 2)
            else:
                self.line(f"{name} += 0.125", indent + 2)
                self.line("continue", indent + 2)
        self.line(f"{name} = 0.5 * {name} + {self.expression(2)} / ({index} + 1)", indent + 1)
        self.integers.remove(index)

    def while_loop(self, indent: int = 1) -> None:
        """Stops when the data say so, or after seven turns."""
        name, count = self.name(), self.name("i")
        self.line(f"{name} = {self.expression(1)}", indent)
        self.line(f"{count} = 0", indent)
        self.floats.append(name)
        self.line(f"while {name} < {self.constant(0.5, 2.5)} and {count} < 7:", indent)
        self.line(f"{name} = {name} + {self.filled('0.3 * P', 1)}", indent + 1)
        self.line(f"{count} += 1", indent + 1)

    def unpack(self, indent: int = 1) -> None:
        first, second = self.name(), self.name()
        kind = self.choose(["tuple", "Pair", "Box", "lambda", "dict"])
        left, right = self.expression(2), self.expression(2)
        if kind == "tuple":
            self.line(f"{first}, {second} = {left}, {right}", indent)
            self.floats += [first, second]
        elif kind == "lambda":
            self.line(f"{first} = (lambda u: u * {self.constant()} + {right})({left})", indent)
            self.floats.append(first)
        elif kind == "dict":
            self.line(f"{first} = {{'left': {left}, 'right': {right}}}", indent)
            self.floats += [f"{first}['left']", f"{first}['right']"]
        else:
            self.line(f"{first} = {kind}({left}, {right})", indent)
            fields = Pair._fields if kind == "Pair" else ("width", "height")
            self.floats += [f"{first}.{field}" for field in fields]

    def function_inside(self, indent: int = 1) -> None:
        """Closes over what is there, and over what is assigned later; its default is made where it is."""
        name, first, second = self.name("inner"), self.name("u"), self.name("v")
        default = self.choose([self.constant(), self.expression(1)])
        outside = list(self.floats)
        self.floats += [first, second]
        kind = self.choose(["def", "def", "branch", "lambda"])
        if kind == "lambda":
            self.line(f"{name} = lambda {first}, {second}={default}: {self.expression(2)}", indent)
        else:
            self.line(f"def {name}({first}, {second}={default}):", indent)
            if kind == "branch":
                self.line(f"if {self.condition()}:", indent + 1)
                self.line(f"return {self.expression(1)}", indent + 2)
            self.line(f"return {self.expression(2)}", indent + 1)
        self.floats = outside
        self.inner.append(Callee(name, (first,), (second,)))
        found = self.name()
        self.line(f"{found} = {self.call(self.inner[-1], 1)} - {self.call(self.inner[-1], 1)} * 0.4", indent)
        self.floats.append(found)

    def optional(self, indent: int = 1) -> None:
        """A number that is an argument where there is one."""
        if not self.optionals:
            return self.assign(indent)
        name, argument = self.name(), self.choose(self.optionals)
        there, missing = f"{argument} * {self.expression(1)}", self.expression(1)
        kind = self.choose(["is None", "is not None", "choice"])
        if kind == "choice":
            self.line(f"{name} = {missing} if {argument} is None else {there}", indent)
        else:
            self.line(f"if {argument} {kind}:", indent)
            self.line(f"{name} = {missing if kind == 'is None' else there}", indent + 1)
            self.line("else:", indent)
            self.line(f"{name} = {there if kind == 'is None' else missing}", indent + 1)
        self.floats.append(name)

    def array(self, indent: int = 1) -> None:
        """An array whose elements and sum are numbers of the program."""
        name = self.made_array(2, indent)
        self.floats += [f"{name}[0]", f"{name}[{self.extent} - 1]", f"np.sum({name})"]

    def made_array(self, depth: int, indent: int) -> str:
        """The name of an array of `self.extent` numbers."""
        name, index = self.name("a"), self.name("j")
        extent = self.choose([str(self.extent), self.count])
        kind = self.choose(["list", "comprehension", "append", "zeros", "empty", "full", "number"])
        self.integers.append(index)
        element = f"{self.expression(depth)} * ({index} + 0.3)"
        self.integers.remove(index)
        if kind == "list":
            self.line(f"{name} = np.array([{', '.join(map(self.expression, [1] * self.extent))}])", indent)
        elif kind == "comprehension":
            self.line(f"{name} = np.array([{element} for {index} in range({extent})])", indent)
        elif kind == "append":
            self.line(f"{name}_list = []", indent)
            self.line(f"for {index} in range({extent}):", indent)
            self.line(f"{name}_list.append({element})", indent + 1)
            self.line(f"{name} = np.array({name}_list)", indent)
        elif kind == "number":
            self.line(f"{name} = np.full({extent}, {self.expression(depth)})", indent)
            self.line(f"{name}[1] *= {self.expression(1)}", indent)
        else:
            filling = f", {self.constant()}" if kind == "full" else ""
            self.line(f"{name} = np.{kind}({extent}{filling})", indent)
            self.line(f"for {index} in range({extent}):", indent)
            self.line(f"{name}[{index}] = {element}", indent + 1)
        return name

    def early_return(self, indent: int = 1) -> None:
        self.line(f"if {self.condition()}:", indent)
        self.return_result(1, indent + 1)

    def return_result(self, depth: int, indent: int) -> None:
        if self.structure == "array":
            return self.line(f"return {self.made_array(depth, indent)}", indent)
        if self.structure == "array beside":
            return self.line(f"return {self.expression(depth)}, {self.made_array(depth, indent)}", indent)
        return self.line(f"return {self.result(depth)}", indent)

    def result(self, depth: int) -> str:
        """An expression of the program's own result structure, chosen once."""
        first, second = self.expression(depth), self.expression(depth)
        missing = f"None if {self.optionals[0]} is None else" if self.optionals else ""
        return {
            "optional": f"({first}, {missing} {second})",
            "dict": f"{{'right': {first}, 'left': {second}}}",
            "number": first,
            "tuple": f"({first}, {second})",
            "Pair": f"Pair({first}, {second})",
            "Box": f"Box({first}, {second})",
            "integer": f"({first}, 7)",
            "nested": f"(Pair({first}, 0.25), {second})",
        }[self.structure]

    def body(self, statements: int, may_return: bool) -> None:
        kinds = [self.assign, self.branch, self.for_loop, self.while_loop, self.unpack, self.augmented]
        kinds += [self.function_inside, self.function_inside, self.array]
        if self.optionals:
            kinds += [self.optional] * 3
        # Numba's engine refuses tuples of an array that has partials in one branch and has none in another.
        if may_return and self.structure != "array beside":
            kinds.append(self.early_return)
        for _ in range(statements):
            self.choose(kinds)()

    # --- the whole ------------------------------------------------------------------------------------------

    def function(self, name: str, parameters: list[str], floats: list[str], statements: int) -> None:
        self.floats, self.inner, self.budget = list(floats), [], self.size
        self.line(f"def {name}({', '.join(parameters)}):", 0)
        self.body(statements, may_return=self.choose([True, False]))
        self.budget = self.size // 2
        self.return_result(2, 1)
        self.line("", 0)

    def program(self) -> Program:
        dtype = np.dtype(self.choose(["float64"] * 5 + ["float32"]))
        values = np.random.default_rng(self.choose(range(1000)))
        self.line(f"SHIFT = {self.constant()}", 0)
        self.line("TABLE = np.array([0.31, -0.72, 1.13, 0.54])", 0)
        self.structure = "number"
        self.extent = self.choose([2, 3])
        self.count = f"{self.extent}"
        for _ in range(self.choose([0, 0, 1, 1, 2])):
            self.taught()
        for _ in range(self.choose([0, 0, 1, 1, 2])):
            self.helper()
        parameters, leaves, arguments = self.arguments(dtype, values)
        if self.choose([True, False]):
            self.count = "count"
            parameters.append(f"count={self.extent}")
        structures = ["number"] * 3 + ["tuple", "Pair", "Box", "integer", "nested", "dict"]
        structures += ["array", "array beside"]
        self.structure = self.choose(structures + ["optional"] * 4 * bool(self.optionals))
        extra = [*leaves, *self.choose([(), ("SHIFT", "TABLE[1]")])]
        self.function("program", parameters, extra, self.choose([1, 2, 3]))
        passes = self.choose(["single", "single", "per_argument"])
        return Program(
            "\n".join(self.lines), arguments, self.choose(["auto", "auto", "store", "recompute"]), passes
        )

    def taught(self) -> None:
        """A function with a rule of its own."""
        name, taught = self.name("taught"), self.choose(TAUGHT)
        self.lines += definition(name, self.choose(["by_scalar_rule"] * 2 + ["by_frule", "by_rrule"]), taught)
        self.helpers.append(Callee(name, ("a",), ("b",)[: len(taught.slopes) - 1]))

    def helper(self) -> None:
        name = self.name("helper")
        by_name = self.choose([True, False, False])
        parameters = ["a", *["*"] * by_name, f"b={self.constant()}"]
        self.function(name, parameters, ["a", "b", "SHIFT"], self.choose([0, 1]))
        if self.choose([True, False, False]):
            self.line(f"{name} = partly({name}, {self.choose('ab')!r})", 0)
        self.helpers.append(Callee(name, ("a",), ("b",), by_name))

    def arguments(self, dtype, values) -> tuple[list[str], list[str], tuple]:
        loop = self.choose(SHAPES)

        def leaf():
            shape = self.choose(SHAPES[loop])
            return values.uniform(-1.5, 1.5, shape).astype(dtype)

        parameters, leaves, arguments = ["x0"], ["x0"], [values.uniform(-1.5, 1.5, loop).astype(dtype)]
        for k in range(1, self.choose([1, 2, 3, 4] if self.size > 5 else [1, 2, 3])):
            structs = ["tuple", "Pair", "Box", "dict"]
            kind = self.choose(["number"] * 2 + ["optional"] * 2 + structs + ["int", "bool", "float"])
            parameters.append(f"x{k}")
            if kind == "int":
                self.integers.append(f"x{k}")
                arguments.append(self.choose([0, 1, 2, np.arange(3)[:1] + 1]) if loop else 2)
            elif kind == "bool":
                self.flags.append(f"x{k}")
                arguments.append(self.choose([True, False, np.array([True, False, True]) if loop else True]))
            elif kind == "optional":
                self.flags.append(f"x{k} is None")
                self.optionals.append(f"x{k}")
                arguments.append(self.choose([None, leaf()]))
            elif kind == "number":
                leaves.append(f"x{k}")
                arguments.append(leaf())
            elif kind == "float":
                leaves.append(f"x{k}")
                arguments.append(float(values.uniform(-1.5, 1.5)))
            else:
                make = {"tuple": lambda a, b: (a, b), "Pair": Pair, "Box": Box}.get(
                    kind, lambda a, b: {"p": a, "q": b}
                )
                fields = {"tuple": ("[0]", "[1]"), "Pair": (".left", ".right"), "Box": (".width", ".height")}
                arguments.append(make(leaf(), leaf()))
                leaves += [f"x{k}{field}" for field in fields.get(kind, ("['p']", "['q']"))]
        return parameters, leaves, tuple(arguments)


@st.composite
def programs(draw, size: int = 8) -> Program:
    """Programs of arguments, helpers, loops and branches; `size` is how much there is in each function."""
    return Writer(draw, size).program()
