"""A target of Numba's on which numbers are plain: what it compiles stays text, and functions of the rules
table are calls of opaque functions.

Numba's contexts are shared with its own target (what is registered for one holds for the other); ours differ
in what a function of the table means, in raising (a status alone: who wants the exception runs the function
again), and in what a library is.
"""

# Private: Numba has no interface for targets that share another one's registries.
# pyright: reportAttributeAccessIssue=false, reportIncompatibleMethodOverride=false
# pyright: reportPrivateImportUsage=false, reportArgumentType=false

from __future__ import annotations

import contextlib
import copy
import functools
import itertools
import operator
import weakref
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType
from typing import Any

from llvmlite import ir

from fwddiff._native.internals import (
    CodeLibrary,
    JITCPUCodegen,
    TargetDescriptor,
    callconv,
    cgutils,
    cpu,
    cpu_target,
    dispatcher,
    errors,
    target_extension,
    typing,
)
from fwddiff.engines.numba.frontend.inner import InnerCompiler
from fwddiff.engines.numba.frontend.structs import StructType
from fwddiff.engines.numba.language._lists import MemoryOfLists
from fwddiff.engines.numba.language._print import printing
from fwddiff.engines.numba.ssa.code import Refused
from numba import types

_NAME, RAISED = "fwddiff", "fwddiff.raised"
_numbers = itertools.count()
_BY_NAME = "fwddiff_by_name"  # of a module: functions that it calls without their library


# Libraries by the functions that they define, as long as they are kept.
_defining: weakref.WeakValueDictionary[str, PlainLibrary] = weakref.WeakValueDictionary()


class PlainLibrary(CodeLibrary):
    """LLVM's code of a function as text, and the libraries of what it calls."""

    def __init__(self, codegen: Any, name: str):
        super().__init__(codegen, name)
        self.text = ""
        self.linked: list[Any] = []
        self.by_name: set[str] = set()

    def add_linking_library(self, library: Any) -> None:
        self.linked.append(library)

    def add_ir_module(self, ir_module: Any) -> None:
        self.text = cgutils.normalize_ir_text(str(ir_module))
        self.by_name |= getattr(ir_module, _BY_NAME, set())
        _defining.update({f.name: self for f in ir_module.functions if not f.is_declaration})

    def finalize(self) -> None:
        self._finalized = True

    def get_function(self, name: str) -> Any:
        raise NotImplementedError

    def get_llvm_str(self) -> str:
        return self.text

    def get_asm_str(self) -> str:
        return ""

    def enable_object_caching(self) -> None:
        """Nothing is compiled to objects."""

    def texts(self) -> Iterator[str]:
        """Of this library and of all that it needs, each once."""
        pending, met = [self], {id(self)}
        while pending:
            library = pending.pop()
            yield library.text
            named = [_defining[name] for name in sorted(library.by_name) if name in _defining]
            for other in (*library.linked, *named):
                if not isinstance(other, PlainLibrary):
                    raise Refused(f"it calls {other.name}, which Numba compiled for another purpose")
                if id(other) not in met:
                    met.add(id(other))
                    pending.append(other)


class _Codegen(JITCPUCodegen):
    _library_class = PlainLibrary

    def __init__(self, other: JITCPUCodegen):
        vars(self).update(vars(other))

    def insert_unresolved_ref(self, builder: Any, fnty: Any, name: str) -> Any:
        """A function that is being compiled further out is called by its name, not by an address. So is its
        form for other arguments, as of a helper in a lambda that it is given."""
        vars(builder.module).setdefault(_BY_NAME, set()).add(name)
        return cgutils.get_or_insert_function(builder.module, fnty, name)


class _CallConvention(callconv.CPUCallConv):
    """Exceptions are statuses, without a description. A `try` looks whether what it calls has left one:
    it is the same for all, of which nobody reads more than that it is there."""

    def set_static_user_exc(self, builder, exc, exc_args=None, loc=None, func_name=None):
        place = self._get_excinfo_argument(builder.function)
        if not isinstance(place.type.pointee, ir.PointerType):
            return  # the core itself, which nobody asks
        builder.store(_raised(builder.module, place.type.pointee), place)

    def set_dynamic_user_exc(self, builder, exc, exc_args, nb_types, loc=None, func_name=None):
        self.set_static_user_exc(builder, exc)


def _raised(module: Any, kind: Any) -> Any:
    if RAISED in module.globals:
        return module.globals[RAISED]
    made = cgutils.add_global_variable(module, kind.pointee, RAISED)
    made.linkage, made.global_constant, made.initializer = "internal", True, kind.pointee(None)
    return made


@functools.cache
def _twin(function: Any) -> Any:
    """The same function, and another object."""
    return functools.wraps(function)(lambda *arguments, **options: function(*arguments, **options))


_OPERATORS = frozenset(f for f in vars(operator).values() if isinstance(f, BuiltinFunctionType))
_OBJECTS = (types.BaseTuple, types.List, StructType)
_NUMBERS = (types.Float, types.Integer, types.Boolean)  # literals are of other types


def _is_operator(function: Any) -> bool:
    key = function.typing_key if isinstance(function, types.Function) else None
    return isinstance(key, BuiltinFunctionType) and key in _OPERATORS


class _Typing(typing.Context):
    """Numba's own context, but for what a function of the table means."""

    operators: dict[tuple, Any]

    def __init__(self, other: typing.Context, meanings: Callable[[Any], Any]):
        self.__dict__ = vars(other)
        type(self).meanings = staticmethod(meanings)
        type(self).operators = {}

    def refresh(self) -> None:
        """What is registered is Numba's: a function that has a meaning too gets another form there."""
        cpu_target.typing_context.refresh()
        self.operators.clear()

    def _get_attribute_templates(self, typ: Any) -> Iterator[Any]:
        """Attributes and methods are looked up for this target; the tables have templates of Numba's own."""
        for template in super()._get_attribute_templates(typ):
            own: Any = copy.copy(template)
            own.context = self
            if hasattr(own, "_overload_func"):  # by which Numba tells the types of methods apart
                own._overload_func = _twin(own._overload_func)
            yield own

    def resolve_value_type(self, val: Any) -> Any:
        try:
            return self.meanings(val) or super().resolve_value_type(val)
        except LookupError as error:  # a user's `__getattr__ = dict.__getitem__`, asked for a type of Numba's
            raise ValueError(f"Cannot determine Numba type of {type(val)}") from error

    def resolve_function_type(self, func: Any, args: Any, kws: Any) -> Any:
        """Operators of numbers are looked up once: Numba tries dozens of forms at each place, each time."""
        key = getattr(func, "typing_key", func)
        if key in (operator.is_, operator.is_not) and all(isinstance(a, _OBJECTS) for a in args):
            raise errors.TypingError("it asks by `is` which object it has, and kernels have values alone")
        func = self.meanings(func) or func
        key = (func, tuple(args))
        if kws or not _is_operator(func) or not all(type(a) in _NUMBERS for a in args):
            return super().resolve_function_type(func, args, kws)
        if key not in self.operators:
            self.operators[key] = super().resolve_function_type(func, args, kws)
        return self.operators[key]


def _element(meaning: Any, own: Any, context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """An element of a ufunc's result: by what the function means on such numbers, if anything."""
    chosen = meaning.choose(sig.args)
    if chosen is None or chosen[0] != sig.return_type:
        return own(context, builder, sig, args)
    return chosen[1](context, builder, sig.args, args)


class Executable:
    """Stands for machine code that is not made."""


class PlainContext(cpu.CPUContext):
    def __init__(self, other: cpu.CPUContext, typing_context: _Typing):
        vars(self).update(vars(other))
        self.typing_context, self.target_name, self.target = typing_context, _NAME, Plain
        self.cached_internal_func = {}
        self._internal_codegen = _Codegen(other.codegen())

    @property
    def call_conv(self) -> Any:
        return _CallConvention(self)

    def refresh(self) -> None:
        """What is found is shared; Numba's run time is made for Numba's own target."""
        cpu_target.target_context.refresh()

    def get_function(self, fn: Any, sig: Any, _firstcall: bool = True) -> Any:
        if fn is print:
            return printing(self, sig)
        emitted = getattr(fn, "emitted", None)
        return super().get_function(fn, sig, _firstcall) if emitted is None else emitted(self, sig)

    def get_ufunc_info(self, ufunc_key: Any) -> Any:
        """What a ufunc does with elements, where its loop is not one over an expression."""
        found = super().get_ufunc_info(ufunc_key)
        meaning = self.typing_context.meanings(ufunc_key)
        if meaning is None:
            return found
        return {loop: functools.partial(_element, meaning, own) for loop, own in found.items()}

    @property
    def nrt(self) -> Any:
        return MemoryOfLists(self, self.enable_nrt)

    def get_executable(self, library: Any, fndesc: Any, env: Any) -> Any:
        return Executable()

    def post_lowering(self, mod: Any, library: Any) -> None:
        """Nothing runs: no run time to link."""

    def inner_library(self) -> Any:
        return PlainLibrary(self.codegen(), f"fwddiff_plain_{next(_numbers)}")


class Plain(target_extension.CPU):
    """Numba's name of the target."""


class _Target(TargetDescriptor):
    options = cpu.CPUTargetOptions
    # Functions to their types; the file of these, above this one, puts its own here.
    meanings: Callable[[Any], Any] = staticmethod(lambda value: None)

    @functools.cached_property
    def typing_context(self) -> Any:
        return _Typing(cpu_target.typing_context, self.meanings)

    @functools.cached_property
    def target_context(self) -> Any:
        return PlainContext(cpu_target.target_context, self.typing_context)


target = _Target(_NAME)


def _of_one_form(signature: Any, kinds: Any) -> tuple[Any, tuple[Any, ...]]:
    """A function that calls itself has one form for all numbers of a type, those that are known where it is
    called and defaults too: else the forms would call each other."""

    def plain(kind: Any) -> Any:
        if isinstance(kind, types.Omitted) and isinstance(kind.value, bool | int | float):
            return typing.typeof.typeof(kind.value)
        is_known = isinstance(kind, types.IntegerLiteral | types.BooleanLiteral)
        return types.unliteral(kind) if is_known else kind

    return signature, tuple(map(plain, kinds))


class _Dispatcher(dispatcher.Dispatcher):
    targetdescr = target

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        node, _ = getattr(self.py_func, "__fwddiff_node__", (None, None))
        if node is not None and node.calls_itself:
            fold = self._compiler.fold_argument_types
            self._compiler.fold_argument_types = lambda args, kws: _of_one_form(*fold(args, kws))

    def add_overload(self, cres: Any) -> None:
        """Nothing can be called from Python."""
        self.overloads[tuple(cres.signature.args)] = cres


def jit(*functions: Any, **options: Any) -> Any:
    """Numba's decorator, for this target."""
    if not functions:
        return lambda function: jit(function, **options)
    options = {
        "nopython": True,
        "no_cpython_wrapper": True,
        "no_cfunc_wrapper": True,
        "_nrt": True,
        **options,
    }
    compiler = options.pop("pipeline_class", InnerCompiler)
    return _Dispatcher(functions[0], {}, options, pipeline_class=compiler)


@contextlib.contextmanager
def on_plain_numbers() -> Iterator[None]:
    """What is compiled here is compiled for this target, also where no function is being typed."""
    with target_extension.target_override(_NAME):
        yield


target_extension.target_registry[_NAME] = Plain
target_extension.dispatcher_registry[Plain] = _Dispatcher
target_extension.jit_registry[Plain] = jit
