"""Reads a frozen dataclass from YAML: unknown keys, wrong types and missing values are refused by name."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from tutelage_core.errors import ConfigurationError, UnknownNameError

T = TypeVar("T")


def load_yaml(path: Path, cls: type[T]) -> T:
    """Read the dataclass `cls` from the YAML file at `path`.

    Raises:
        ConfigurationError: the file is missing, is not a mapping, or a value does not fit its field.
        UnknownNameError: a key is not a field of the dataclass; the legal keys are listed.
    """
    if not path.is_file():
        raise ConfigurationError(f"no such file: {path}")
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: not valid YAML: {error}") from error
    return from_mapping(data, cls, str(path))


def from_mapping(data: object, cls: type[T], where: str) -> T:
    """Build the dataclass `cls` from plain `data`; `where` names the place in error messages.

    Raises:
        ConfigurationError: a value is missing or does not fit its field.
        UnknownNameError: a key is not a field of the dataclass.
    """
    return typing.cast("T", _convert(data, cls, where))


def _convert(value: object, kind: Any, where: str) -> object:
    origin = typing.get_origin(kind)
    arguments = typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        rest = [a for a in arguments if a is not type(None)]
        return _convert(value, rest[0], where)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _dataclass(value, kind, where)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigurationError(f"{where}: expected a list, got {value!r}")
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_convert(v, arguments[0], f"{where}[{i}]") for i, v in enumerate(value))
        if len(value) != len(arguments):
            raise ConfigurationError(f"{where}: expected {len(arguments)} values, got {len(value)}: {value!r}")
        return tuple(_convert(v, a, f"{where}[{i}]") for i, (v, a) in enumerate(zip(value, arguments, strict=True)))
    if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        if not isinstance(value, dict):
            raise ConfigurationError(f"{where}: expected a mapping, got {value!r}")
        return {str(k): _convert(v, arguments[1], f"{where}.{k}") for k, v in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind in (int, float, str, bool):
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ConfigurationError(f"{where}: expected {kind.__name__}, got {value!r}")
        return value
    if kind in (Any, object):
        return value
    raise ConfigurationError(f"{where}: fields of type {kind} cannot be read from YAML")


def _dataclass(value: object, cls: Any, where: str) -> object:
    if not isinstance(value, dict):
        raise ConfigurationError(f"{where}: expected a mapping with the keys of {cls.__name__}, got {value!r}")
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
    for key in value:
        if key not in fields:
            raise UnknownNameError("key", str(key), fields, where)
    arguments: dict[str, object] = {}
    for name, f in fields.items():
        if name in value:
            arguments[name] = _convert(value[name], hints[name], f"{where}: {name}")
        elif f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            raise ConfigurationError(f"{where}: key '{name}' is missing; keys: {', '.join(sorted(fields))}")
    return cls(**arguments)


def to_mapping(config: object) -> Any:
    """Return a dataclass as plain data (dicts, lists, numbers, strings) that JSON and YAML can hold."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {f.name: to_mapping(getattr(config, f.name)) for f in dataclasses.fields(config)}
    if isinstance(config, Mapping):
        return {str(k): to_mapping(v) for k, v in config.items()}
    if isinstance(config, (list, tuple)):
        return [to_mapping(v) for v in config]
    return config
