"""C functions of words (int64), which also hold addresses: LLVM's text by way of Python's operators.

    with function.loop(count) as k:          for (int64 k = 0; k < count; ++k)
        target[k] = source[k] + 8 * k            ((int64 *)target)[k] = ((int64 *)source)[k] + 8 * k;

The text holds no address of this process: words of Python's are found by name (`known_word`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from fwddiff._native.text import Function

_WORD = "i64"


class Word:
    """A word that a function has computed."""

    __slots__ = ("_function", "text")

    def __init__(self, function: Words, text: str):
        self._function, self.text = function, text

    def _with(self, operation: str, other: Word | int) -> Word:
        found = self._function.text.value(f"{operation} {_WORD} {self.text}, {_text(other)}")
        return Word(self._function, found)

    def __add__(self, other: Word | int) -> Word:
        return self._with("add", other)

    __radd__ = __add__

    def __sub__(self, other: Word | int) -> Word:
        return self._with("sub", other)

    def __mul__(self, other: Word | int) -> Word:
        return self._with("mul", other)

    __rmul__ = __mul__

    def __and__(self, other: Word | int) -> Word:
        return self._with("and", other)

    def __neg__(self) -> Word:
        return Word(self._function, "0")._with("sub", self)

    def __lt__(self, other: Word | int) -> Condition:
        return Condition(self._with("icmp slt", other))

    def __gt__(self, other: Word | int) -> Condition:
        return Condition(self._with("icmp sgt", other))

    def __ge__(self, other: Word | int) -> Condition:
        return Condition(self._with("icmp sge", other))

    def is_(self, other: Word | int) -> Condition:
        return Condition(self._with("icmp eq", other))

    def is_not(self, other: Word | int) -> Condition:
        return Condition(self._with("icmp ne", other))

    def __getitem__(self, index: Word | int) -> Word:
        return self._function.load(self + 8 * index)

    def __setitem__(self, index: Word | int, value: Word | int) -> None:
        self._function.store(self + 8 * index, value)


class Condition:
    """The result of a comparison; Python cannot know it."""

    __slots__ = ("text",)

    def __init__(self, word: Word):
        self.text = word.text

    def __bool__(self) -> bool:
        raise TypeError("use `when` or `choose`: this is known when the function runs")


class Place:
    """A variable of a function."""

    def __init__(self, function: Words, start: Word | int):
        self._variable = function.text.variable(_WORD, _text(start), "word")
        self._function = function

    @property
    def value(self) -> Word:
        return Word(self._function, self._variable.get())

    @value.setter
    def value(self, value: Word | int) -> None:
        self._variable.set(_text(value))


class Words:
    """A function `int64 name(int64 …)` in the making; `str` gives its text, with what it declares."""

    def __init__(self, name: str, *parameters: str):
        given = ", ".join(f"{_WORD} %{parameter}" for parameter in parameters)
        self.text = Function(f"define {_WORD} @{name}({given})")
        self.parameters = tuple(Word(self, f"%{parameter}") for parameter in parameters)
        self._declared: dict[str, str] = {}

    def __str__(self) -> str:
        return "\n".join([*self._declared.values(), "", str(self.text)])

    def word(self, text: str) -> Word:
        """The result of an instruction."""
        return Word(self, self.text.value(text))

    # --- memory ---------------------------------------------------------------------------------------------

    def pointer(self, address: Word | int) -> str:
        return self.text.value(f"inttoptr {_WORD} {_text(address)} to ptr")

    def load(self, address: Word) -> Word:
        return self.word(f"load {_WORD}, ptr {self.pointer(address)}")

    def store(self, address: Word, value: Word | int) -> None:
        self.text.line(f"store {_WORD} {_text(value)}, ptr {self.pointer(address)}")

    def load_half(self, address: Word) -> Word:
        half = self.text.value(f"load i32, ptr {self.pointer(address)}")
        return self.word(f"sext i32 {half} to {_WORD}")

    def store_half(self, address: Word, value: Word | int) -> None:
        half = self.text.value(f"trunc {_WORD} {_text(value)} to i32")
        self.text.line(f"store i32 {half}, ptr {self.pointer(address)}")

    def fetch_and_add(self, address: Word, value: Word | int) -> Word:
        """Atomic: the word's value before the addition."""
        return self.word(f"atomicrmw add ptr {self.pointer(address)}, {_WORD} {_text(value)} seq_cst")

    def stack(self, words: Word | int) -> Word:
        """Address of so many words on the stack of this function."""
        place = (
            self.text.room(_WORD, "room", f", i64 {words}")
            if isinstance(words, int)
            else self.text.value(f"alloca {_WORD}, {_WORD} {words.text}")
        )
        return self.word(f"ptrtoint ptr {place} to {_WORD}")

    def variable(self, start: Word | int) -> Place:
        return Place(self, start)

    # --- calls ----------------------------------------------------------------------------------------------

    def call(self, address: Word, *arguments: Word | int) -> Word:
        """Call a function of words by its address."""
        return self._call(self.pointer(address), arguments)

    def call_by_name(self, name: str, *arguments: Word | int) -> Word:
        """Call a function of the same module."""
        return self._call(f"@{name}", arguments)

    def call_library(self, name: str, *arguments: Word | int) -> Word:
        """Call a function of the C library, whose arguments and result are words."""
        kinds = ", ".join([_WORD] * len(arguments))
        self._declared[name] = f"declare {_WORD} @{name}({kinds})"
        return self.call_by_name(name, *arguments)

    def _call(self, function: str, arguments: tuple[Word | int, ...]) -> Word:
        given = ", ".join(f"{_WORD} {_text(argument)}" for argument in arguments)
        return self.word(f"call {_WORD} {function}({given})")

    def known_word(self, symbol: str) -> Word:
        """The word that the linker knows by this name (`llvmlite.binding.add_symbol`)."""
        self._declared[symbol] = f"@{symbol} = external global {_WORD}"
        return self.word(f"load {_WORD}, ptr @{symbol}")

    def address_of(self, function: str) -> Word:
        """Of a function in the same module."""
        return self.word(f"ptrtoint ptr @{function} to {_WORD}")

    # --- choices --------------------------------------------------------------------------------------------

    def choose(self, condition: Condition, then: Word | int, otherwise: Word | int) -> Word:
        text = f"select i1 {condition.text}, {_WORD} {_text(then)}, {_WORD} {_text(otherwise)}"
        return self.word(text)

    def smaller(self, a: Word | int, b: Word | int) -> Word:
        return self._call("@llvm.smin.i64", (a, b))

    def larger(self, a: Word | int, b: Word | int) -> Word:
        return self._call("@llvm.smax.i64", (a, b))

    def end(self, value: Word | int) -> None:
        """The function's last line."""
        self.text.line(f"ret {_WORD} {_text(value)}")

    def leave(self, value: Word | int) -> None:
        """A return on the way, within `when`."""
        self.end(value)
        self.text.begin(self.text.fresh("after"))

    @contextlib.contextmanager
    def when(self, condition: Condition) -> Iterator[None]:
        then, end = self.text.fresh("then"), self.text.fresh("end")
        self.text.fork(condition.text, then, end)
        self.text.begin(then)
        yield
        self.text.go(end)
        self.text.begin(end)

    @contextlib.contextmanager
    def loop(self, stop: Word | int) -> Iterator[Word]:
        with self.text.loop(_text(stop)) as i:
            yield Word(self, i)

    @contextlib.contextmanager
    def endless(self) -> Iterator[Leave]:
        """A loop that its body leaves."""
        top, end = self.text.fresh("top"), self.text.fresh("end")
        self.text.go(top)
        self.text.begin(top)
        yield Leave(self, end)
        self.text.go(top)
        self.text.begin(end)


class Leave:
    """`leave.unless(condition)` leaves a loop."""

    def __init__(self, function: Words, label: str):
        self._function, self._label = function, label

    def unless(self, condition: Condition) -> None:
        stay = self._function.text.fresh("stay")
        self._function.text.fork(condition.text, stay, self._label)
        self._function.text.begin(stay)


def _text(value: Word | int) -> str:
    return str(value) if isinstance(value, int) else value.text
