"""The stack machine that follows names: on real code of all kinds, and on cases with known answers."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import dis
import inspect
import statistics
import tarfile

import pytest

from fwddiff._capture import nested_codes, uses
from fwddiff._capture._bytecode import _Machine
from fwddiff._capture._stack import Stack

LIBRARY = [argparse, ast, dataclasses, inspect, statistics, tarfile]


def codes(module):
    code = compile(inspect.getsource(module), module.__file__, "exec")
    return [code, *nested_codes(code)]


@pytest.mark.parametrize("module", LIBRARY, ids=lambda module: module.__name__)
def test_every_global_and_free_variable_that_is_loaded_is_used(module):
    """A name that is loaded and then lost on the way would be a missed capture."""
    for code in codes(module):
        used = {use.path[0] for use in uses(code)}
        for position, instruction in enumerate(instructions := list(dis.get_instructions(code))):
            dropped = (
                instructions[position + 1].opname == "POP_TOP" if position + 1 < len(instructions) else True
            )
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME") and not dropped:
                assert instruction.argval in used, (code.co_name, instruction)


@pytest.mark.parametrize("module", LIBRARY, ids=lambda module: module.__name__)
def test_the_stack_never_runs_empty(module, monkeypatch):
    """What is popped was pushed. (Handlers of exceptions, left out here, start with an unknown stack.)"""
    empty = []
    pop = Stack.pop

    def checked(self):
        if not self.stack:
            empty.append(self.code.co_name)
        return pop(self)

    monkeypatch.setattr(Stack, "pop", checked)
    generators = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
    for code in codes(module):
        if not code.co_flags & generators:  # these start with a value that `dis` does not count
            _Machine(code, {})._follow(0, {})
    assert empty == []


def how(function, name):
    return {(".".join(use.path[1]), use.how) for use in uses(function.__code__) if use.path[0] == name}


def test_chains_through_local_variables():
    def through(self):
        inner = self.first
        deeper = inner.second
        return deeper.third * 2

    assert how(through, "self") == {
        ("first", "neutral"),
        ("first.second", "neutral"),
        ("first.second.third", "scalar"),
    }


def test_a_variable_with_two_values_is_not_followed():
    def branching(self, flag):
        inner = self.first
        if flag:
            inner = self.second
        return inner.third

    assert how(branching, "self") == {("first", "whole"), ("second", "whole")}


def test_long_chains_end():
    def walking(node):
        while node.next:
            step = node.next
            node = step
        return node

    def endless(head, n):
        for _ in range(n):
            step = head.next.next.next.next.next.next.next.next.next
        return step

    assert ("", "whole") in how(walking, "node")
    assert any(kind == "whole" for _, kind in how(endless, "head"))


def test_arguments_know_their_place():
    def calling(x):
        return helper(x, first, key=second)  # noqa: F821

    found = {use.path[0]: use.argument for use in uses(calling.__code__) if use.how == "argument"}
    assert {name: argument.place for name, argument in found.items()} == {"x": 0, "first": 1, "second": "key"}
    assert all(argument.callees == {("helper", ())} for argument in found.values())


def test_making_a_function_uses_its_defaults_only():
    def calling(x):
        return waiting(x * (lambda u, v=default: u * v * x)(x))  # noqa: F821

    assert how(calling, "waiting") == {("", "called")}
    assert ("", "whole") in how(calling, "default")


def test_an_unknown_instruction_uses_everything_whole():
    def formatted(x):
        return f"{value + x}{text}"  # noqa: F821

    assert how(formatted, "value") == {("", "scalar")}
    assert how(formatted, "text") == {("", "whole")}
