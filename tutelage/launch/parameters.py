"""Parameters of a node: from `<param>` tags to the files that the node reads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tutelage.launch.grammar import PARAMETER_TYPES
from tutelage.launch.substitutions import Scope, substitute, truth
from tutelage.launch.tree import Entity, LaunchFileError
from tutelage_core.errors import UnknownNameError


def parameter_files(entities: Sequence[Entity], scope: Scope, stem: Path) -> list[Path]:
    """Makes the parameter files of one node.

    Args:
        entities: its `param` tags.
        scope: what their substitutions see.
        stem: generated files begin with this path.

    Returns:
        Files in the order in which the node reads them: those named with `from`, then one with all single values.

    Raises:
        LaunchFileError: a file is missing, or a value is not of its type.
    """
    files: list[Path] = []
    for number, entity in enumerate(entity for entity in entities if "from" in entity.attributes):
        path = Path(substitute(str(entity.attributes["from"]), scope, str(entity)))
        if not path.is_absolute():
            raise LaunchFileError(f"{entity}: '{path}' depends on the working folder; write $(dirname)/{path}")
        if not path.is_file():
            raise LaunchFileError(f"{entity}: no parameter file {path}")
        if truth(str(entity.attributes.get("allow_substs", "false")), str(entity)):
            text = substitute(path.read_text(encoding="utf-8"), scope, str(path))
            path = stem.with_name(f"{stem.name}_{number}.yaml")
            path.write_text(text, encoding="utf-8")
        files.append(path)
    if values := _values([entity for entity in entities if "from" not in entity.attributes], scope):
        path = stem.with_name(f"{stem.name}_values.yaml")
        path.write_text(yaml.safe_dump({"/**": {"ros__parameters": values}}), encoding="utf-8")
        files.append(path)
    return files


def _values(entities: Sequence[Entity], scope: Scope) -> dict[str, Any]:
    return {
        substitute(str(entity.attributes["name"]), scope, str(entity)): _value(entity, scope) for entity in entities
    }


def _value(entity: Entity, scope: Scope) -> Any:
    """A value as typed in YAML; text is read as YAML, as `ros2 launch` does, unless a type says otherwise."""
    if parts := entity.parts("param"):
        return _values(parts, scope)
    written = entity.attributes["value"]
    if isinstance(written, list):
        return [_typed(entity, item, scope) for item in written]
    return _typed(entity, written, scope)


def _typed(entity: Entity, written: Any, scope: Scope) -> Any:
    kind = str(entity.attributes.get("type", ""))
    if kind and kind not in PARAMETER_TYPES:
        raise UnknownNameError("parameter type", kind, PARAMETER_TYPES, str(entity))
    if not isinstance(written, str):
        value = written
    else:
        text = substitute(written, scope, str(entity))
        if kind == "str":
            return text
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise LaunchFileError(f"{entity}: value '{text}' is not YAML: {error}") from error
        value = text if value is None or isinstance(value, dict) else value
    fits = {"": True, "str": True, "bool": isinstance(value, bool), "int": type(value) is int}
    if kind == "str":
        return str(value)
    if kind == "float" and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if not fits.get(kind, False):
        raise LaunchFileError(f"{entity}: value {value!r} is not of type {kind}")
    return value
