"""Reads TOML and plain data into structs; every fault is one sentence that names file, key and remedy.

It knows no struct of the product: configuration, recordings, keys and records in the log all come this way.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from edge.errors import InputError

T = TypeVar("T")
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Length = Annotated[float, msgspec.Meta(gt=0)]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all sections: no key passes unread."""


def read_toml(path: str | PathLike[str], kind: type[T], *, error: type[InputError]) -> T:
    """Read a TOML file into a struct; every fault is one sentence naming the file and the key."""
    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise error("is not there", file=path, remedy="check the path") from None
    except (OSError, UnicodeDecodeError) as cause:
        raise error(f"cannot be read ({cause})", file=path, remedy="check the file") from cause
    except tomllib.TOMLDecodeError as cause:
        raise error(f"is not TOML ({cause})", file=path, remedy="correct the line named") from cause
    return to_struct(data, kind, file=path, error=error)


def to_struct(
    data: dict[str, Any], kind: type[T], *, file: str | PathLike[str] | None, error: type[InputError]
) -> T:
    """Convert plain data to a struct; an unknown key is named with the nearest known one."""
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as cause:
        text = str(cause)
        path = _field(text)
        problem = text.split(" - at ", maxsplit=1)[0]
        unknown = re.search(r"unknown field `(.+?)`", text)
        if unknown:
            name = unknown.group(1)
            beside, anywhere = _keys_at(kind, path), _all_keys(kind)
            near = [
                *difflib.get_close_matches(name, beside, n=1, cutoff=0.6),
                *difflib.get_close_matches(name, anywhere, n=1, cutoff=0.6),
            ]
            remedy = f"perhaps `{near[0]}` is meant" if near else "remove it"
            raise error(
                "is not a key known here",
                file=file,
                field=".".join(filter(None, (path, name))),
                remedy=remedy,
            ) from None
        raise error(
            problem[0].lower() + problem[1:], file=file, field=path or None, remedy="correct the value"
        ) from None


def _field(text: str) -> str:
    match = re.search(r" - at `\$\.?(.*?)`", text)
    return match.group(1) if match else ""


def _keys_at(kind: Any, path: str) -> list[str]:
    """Keys of the section at a path such as `mission.zones[0]`, or none."""
    for name in filter(None, re.sub(r"\[.*?\]", "", path).split(".")):
        fields = {} if not _structs(kind) else {f.encode_name: f for f in _structs(kind)[0].fields}
        if name not in fields:
            return []
        kind = fields[name].type
    return [field.encode_name for struct in _structs(kind)[:1] for field in struct.fields]


def _structs(kind: Any) -> list[Any]:
    """The structs that a type, or what it may be or hold, is."""
    info: Any = kind if isinstance(kind, msgspec.inspect.Type) else msgspec.inspect.type_info(kind)
    if isinstance(info, msgspec.inspect.StructType):
        return [info]
    if isinstance(info, msgspec.inspect.UnionType):
        return [found for one in info.types for found in _structs(one)]
    if isinstance(info, (msgspec.inspect.VarTupleType, msgspec.inspect.ListType)):
        return _structs(info.item_type)
    return []


def _all_keys(kind: Any) -> list[str]:
    """Every key that the struct and the structs in it know, for suggestions."""
    keys: list[str] = []
    todo: list[Any] = [kind]
    while todo:
        for struct in _structs(todo.pop()):
            keys += [field.encode_name for field in struct.fields]
            todo += [field.type for field in struct.fields]
    return keys
