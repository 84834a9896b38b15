"""The identity of code that has no content hash: classes and functions that a user holds, by their
source.

Hashed are the source (the bytecode where there is none), default values, and all that a function
reads from around it: closure values and globals. What cannot be hashed – an open file, a model –
makes the whole unhashable; whoever asks must then not take two objects for equal.
"""

import inspect
from collections.abc import Mapping, Sequence
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import msgspec
import numpy as np

from valueagents.identity import content_hash

_OURS = ("valueagents", "gymnasium", "numpy", "builtins", "abc", "typing")
"""Packages whose versions a run records; their classes and functions are named, not read."""


class Unhashable(Exception):
    """Raised for a value that has no content hash, with what it is."""


def code_hash(code: type | FunctionType) -> str:
    """The hash of a class or function and of all that it reads.

    Raises Unhashable, naming the value, if it has none.
    """
    return content_hash(_described(code, frozenset()))


def value_hash(value: object) -> str:
    """The hash of a value: JSON-like, an array, a function, a class, or an object of a class that
    holds such values.

    Raises Unhashable, naming the value, if it has none.
    """
    return content_hash(_described(value, frozenset()))


def _described(value: Any, above: frozenset[int]) -> object:
    """A JSON-like description of a value by its content; `above` are the values that this one is
    part of.
    """
    if id(value) in above:
        return "itself"
    inside = above | {id(value)}
    if isinstance(value, FunctionType):
        return _function(value, inside)
    if inspect.ismethod(value):
        return [_described(value.__func__, inside), _described(value.__self__, inside)]
    if inspect.isclass(value):
        return _class(value, inside)
    if isinstance(value, ModuleType | BuiltinFunctionType):
        return [
            "named",
            getattr(value, "__qualname__", value.__name__),
            str(getattr(value, "__version__", "")),
        ]
    if isinstance(value, np.ndarray):
        return ["array", str(value.dtype), list(value.shape), value.tobytes().hex()]
    if isinstance(value, Mapping):
        return [
            [_described(name, inside), _described(each, inside)] for name, each in value.items()
        ]
    if isinstance(value, list | tuple):
        return [_described(each, inside) for each in value]
    if isinstance(value, set | frozenset):
        return sorted(content_hash(_described(each, inside)) for each in value)
    return _plain(value, inside)


def _plain(value: Any, inside: frozenset[int]) -> object:
    try:
        content_hash(value)
    except (TypeError, ValueError, msgspec.MsgspecError):
        pass
    else:
        return [type(value).__name__, value]
    if _is_ours(type(value)) or not hasattr(value, "__dict__"):
        raise Unhashable(f"a {type(value).__name__}")
    return [_described(type(value), inside), _described(vars(value), inside)]


def _function(function: FunctionType, inside: frozenset[int]) -> object:
    if _is_ours(function):
        return ["named", function.__module__, function.__qualname__]
    read = inspect.getclosurevars(function)
    around = {**read.globals, **read.nonlocals}
    return [
        function.__qualname__,
        _source(function),
        _described(function.__defaults__ or (), inside),
        _described(function.__kwdefaults__ or {}, inside),
        [[name, _described(around[name], inside)] for name in sorted(around)],
    ]


def _class(kind: type, inside: frozenset[int]) -> object:
    if _is_ours(kind):
        return ["named", kind.__module__, kind.__qualname__]
    own = {name: each for name, each in vars(kind).items() if not _is_made_by_python(name)}
    described = [[name, _member(each, inside)] for name, each in sorted(own.items())]
    return [kind.__qualname__, described, [_described(base, inside) for base in kind.__bases__]]


def _member(member: Any, inside: frozenset[int]) -> object:
    if isinstance(member, staticmethod | classmethod):
        return _described(member.__func__, inside)
    if isinstance(member, property):
        return [_described(each, inside) for each in (member.fget, member.fset) if each is not None]
    return _described(member, inside)


def _is_made_by_python(name: str) -> bool:
    return name in (
        "__dict__",
        "__weakref__",
        "__module__",
        "__doc__",
        "__annotations__",
        "__firstlineno__",
    ) or (
        name.startswith(("_abc_", "__abstractmethods__", "__static_attributes__", "__parameters__"))
    )


def _is_ours(code: Any) -> bool:
    module = getattr(code, "__module__", None) or ""
    return module.partition(".")[0] in _OURS


def _source(function: FunctionType) -> object:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return _bytecode(function.__code__)


def _bytecode(code: CodeType) -> object:
    """A function whose source is nowhere (typed into a shell): its instructions, names and
    constants.
    """
    constants: Sequence[object] = [
        _bytecode(each) if isinstance(each, CodeType) else repr(each) for each in code.co_consts
    ]
    return [code.co_code.hex(), list(code.co_names), list(code.co_varnames), constants]
