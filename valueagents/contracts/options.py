"""Options: what a plug-in can be told, declared once and read from there by everybody.

A plug-in declares its options either as the keyword parameters of a callable or as the fields of a
`msgspec.Struct`: names, types, bounds and defaults are there, and the `Args:` section of the
docstring says in a line what each does. The conversion of texts, the messages about wrong ones,
listings and flags of the command line read this declaration.
"""

import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec

from valueagents.errors import ConfigError, unknown_name

REQUIRED: Any = inspect.Parameter.empty
"""The default of an option that has none."""

_GYMNASIUMS_OWN = "render_mode"  # set by whoever makes an env, never by a user's options
_PLAIN_TYPES = {str: "text", int: "integer", float: "number", bool: "true | false", Any: "any"}
_BOUNDS = (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))
_ARGUMENT = re.compile(r"(?P<names>\*{0,2}\w+(?:, *\w+)*)(?: *\([^)]*\))?: *(?P<text>.*)")

OptionsT = TypeVar("OptionsT", bound=msgspec.Struct)


class NoOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The declaration of a plug-in that has no option."""


@dataclass(frozen=True, slots=True)
class Declared:
    """One declared option. `kind` is its type with its bounds, `default` may be `REQUIRED`."""

    name: str
    kind: Any
    default: object
    does: str


class OptionDoc(msgspec.Struct, frozen=True):
    """One option in words: its type, its default (`required` if it has none), and what it does."""

    name: str
    type: str
    default: str
    does: str


def declared(source: Callable[..., Any]) -> tuple[Declared, ...]:
    """The options of a callable (its keyword-only parameters) or of a Struct (its fields), in their
    order.
    """
    texts = argument_texts(source)
    if inspect.isclass(source) and issubclass(source, msgspec.Struct):
        hints = get_type_hints(source, include_extras=True)
        defaults = {field.name: _field_default(field) for field in msgspec.structs.fields(source)}
    else:
        hints = get_type_hints(
            source.__init__ if inspect.isclass(source) else source, include_extras=True
        )
        parameters = inspect.signature(source).parameters.values()
        keywords = [each for each in parameters if each.kind is each.KEYWORD_ONLY]
        defaults = {each.name: each.default for each in keywords if each.name != _GYMNASIUMS_OWN}
    return tuple(
        Declared(name, hints.get(name, Any), default, texts.get(name, ""))
        for name, default in defaults.items()
    )


def convert(
    options: Mapping[str, object], declarations: Iterable[Declared], name: str
) -> dict[str, Any]:
    """The options, each converted to its declared type; texts are read as numbers, yes or no where
    those are declared.

    Raises ConfigError for an option of `name` that is unknown (with the nearest), missing,
    ill-typed or out of bounds.
    """
    known = {each.name: each for each in declarations}
    converted = {}
    for option, value in options.items():
        if option not in known:
            raise ConfigError(unknown_name(f"option of {name}", option, known))
        converted[option] = _convert(
            f"option {option}={value} of {name}", value, known[option].kind
        )
    for option, declaration in known.items():
        if declaration.default is REQUIRED and option not in converted:
            raise ConfigError(f"{name} needs the option {option}")
    return converted


def make_options(kind: type[OptionsT], name: str, options: Mapping[str, object]) -> OptionsT:
    """The declared options of `name` with these values. Raises ConfigError as `convert` does."""
    return kind(**convert(options, declared(kind), name))


def build(
    maker: Callable[..., Any], name: str, options: Mapping[str, object], *args: object
) -> Any:
    """What a callable makes of options that may be texts. Raises ConfigError as `convert` does."""
    return maker(*args, **convert(options, declared(maker), name))


def option_docs(source: Callable[..., Any]) -> list[OptionDoc]:
    """The options of a callable or of a Struct in words, in their order."""
    return [option_doc(each) for each in declared(source)]


def option_doc(option: Declared) -> OptionDoc:
    """One declared option in words."""
    return OptionDoc(option.name, type_text(option.kind), default_text(option.default), option.does)


def type_text(kind: Any) -> str:
    """A type in words: `integer ≥ 1`, `sum | token`, `true | false`.

    None, which means "not set", is left out.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        bounds = [meta for meta in arguments[1:] if isinstance(meta, msgspec.Meta)]
        return " ".join([type_text(arguments[0]), *filter(None, map(_bounds_text, bounds))])
    if origin is Literal:
        return " | ".join(map(str, arguments))
    if origin in (Union, UnionType):
        return " | ".join(type_text(each) for each in arguments if each is not NoneType)
    if kind in _PLAIN_TYPES:
        return _PLAIN_TYPES[kind]
    if inspect.isclass(kind) and origin is None:
        return kind.__name__
    return str(kind).replace("typing.", "")


def default_text(default: object) -> str:
    """A default as it would be written in a spec; `none` for None, `required` where there is
    none.
    """
    if default is REQUIRED:
        return "required"
    if default is None or isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float):
        return f"{default:g}"
    return str(default) or '""'


def argument_texts(source: Callable[..., Any]) -> dict[str, str]:
    """What the `Args:` sections say of each name, each as one line; of a class, those of its base
    classes too.
    """
    documented = [*reversed(source.__mro__)] if inspect.isclass(source) else [source]
    found: dict[str, str] = {}
    for each in documented:
        found |= _arguments(each.__doc__ or "")
    return found


def _arguments(docstring: str) -> dict[str, str]:
    """Names and texts of one `Args:` section: `name: text` or `name, name: text`, continued on
    deeper lines.
    """
    lines = inspect.cleandoc(docstring).splitlines()
    if "Args:" not in lines:
        return {}
    section = lines[lines.index("Args:") + 1 :]
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in section:
        if line and not line.startswith(" "):
            break
        entry = (
            _ARGUMENT.fullmatch(line.strip())
            if line.startswith("    ") and not line.startswith("     ")
            else None
        )
        if entry is None:
            current.append(line.strip())
            continue
        current = [entry["text"]]
        found |= dict.fromkeys((name.strip(" *") for name in entry["names"].split(",")), current)
    return {name: " ".join(filter(None, words)) for name, words in found.items()}


def _bounds_text(meta: msgspec.Meta) -> str:
    bounds = [(sign, getattr(meta, bound)) for bound, sign in _BOUNDS]
    return ", ".join(f"{sign} {value:g}" for sign, value in bounds if value is not None)


def _field_default(field: msgspec.structs.FieldInfo) -> object:
    if field.required:
        return REQUIRED
    if field.default_factory is not msgspec.NODEFAULT:
        return cast(Callable[[], object], field.default_factory)()
    return field.default


def _convert(what: str, value: object, kind: Any) -> object:
    """The value as that type. Raises ConfigError; for a choice of names with the nearest one."""
    if get_origin(kind) is Literal and value not in get_args(kind):
        raise ConfigError(f"{what}: " + unknown_name("value", str(value), map(str, get_args(kind))))
    try:
        converted = msgspec.convert(value, kind, strict=False)
    except (msgspec.ValidationError, RecursionError, ValueError) as error:
        raise ConfigError(f"{what[:300]}: {error}") from error
    if isinstance(converted, float) and not math.isfinite(converted):
        raise ConfigError(f"{what} is not a finite number; give one")
    return converted
