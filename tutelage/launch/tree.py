"""Launch files as one tree, whichever of the two forms they are written in."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import yaml

from tutelage.launch.grammar import ACTIONS, ANYTHING, PARTS, Tag
from tutelage_core.errors import ConfigurationError, UnknownNameError


class LaunchFileError(ConfigurationError):
    """A launch file says something that the runner does not accept."""


@dataclass(frozen=True)
class Entity:
    """One tag of a launch file.

    Attributes:
        tag: its name, e.g. "node".
        attributes: values as written: text in XML, typed in YAML.
        children: tags inside it, in order.
        file: where it stands.
    """

    tag: str
    attributes: dict[str, Any] = field(default_factory=dict)
    children: tuple["Entity", ...] = ()
    file: Path = Path()

    def parts(self, tag: str) -> list["Entity"]:
        """The children of one kind."""
        return [child for child in self.children if child.tag == tag]

    def __str__(self) -> str:
        """How an error names it."""
        label = self.attributes.get("name") or self.attributes.get("exec") or self.attributes.get("file")
        return f"<{self.tag}{f' {label}' if label else ''}> in {self.file}"


def load(path: Path) -> list[Entity]:
    """Reads and checks a launch file.

    Args:
        path: a file whose name ends in .yaml, .yml or .xml.

    Returns:
        Its actions.

    Raises:
        LaunchFileError: no such file, no such form, or something in it that is not accepted; the message names
            what is and where.
    """
    if not path.is_file():
        raise LaunchFileError(f"no launch file {path}; name a file that ends in .yaml or .xml")
    if path.suffix in (".yaml", ".yml"):
        entities = _read_yaml(path)
    elif path.suffix == ".xml":
        entities = _read_xml(path)
    else:
        raise LaunchFileError(
            f"{path}: a launch file in the form '{path.suffix}' is not accepted; legal: .yaml, .yml, .xml "
            "(a Python launch file runs with `ros2 launch` of a ROS distribution only)"
        )
    for entity in entities:
        _check(entity, None)
    return entities


def _read_xml(path: Path) -> list[Entity]:
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise LaunchFileError(f"{path}: not XML: {error}") from error
    if root.tag != "launch":
        raise LaunchFileError(f"{path}: the outermost tag is <{root.tag}>, it has to be <launch>")

    def convert(element: ElementTree.Element) -> Entity:
        if element.text and element.text.strip():
            raise LaunchFileError(f"{path}: text '{element.text.strip()[:40]}' inside <{element.tag}> has no meaning")
        return Entity(element.tag, dict(element.attrib), tuple(convert(child) for child in element), path)

    return [convert(child) for child in root]


def _read_yaml(path: Path) -> list[Entity]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise LaunchFileError(f"{path}: not YAML: {error}") from error
    if not isinstance(document, dict) or set(document) != {"launch"} or not isinstance(document["launch"], list):
        raise LaunchFileError(f"{path}: a YAML launch file is one key, `launch:`, with a list of actions")
    return [_action_from_yaml(item, path) for item in document["launch"]]


def _action_from_yaml(item: Any, path: Path) -> Entity:
    if not isinstance(item, dict) or len(item) != 1:
        raise LaunchFileError(f"{path}: each action is one tag with its attributes, not {item!r}")
    ((tag, body),) = item.items()
    if isinstance(body, list):
        if tag != "group":
            raise LaunchFileError(f"{path}: <{tag}> takes attributes, not a list; only <group> takes a list of actions")
        return Entity(tag, {}, tuple(_action_from_yaml(child, path) for child in body), path)
    if not isinstance(body, dict):
        raise LaunchFileError(f"{path}: <{tag}> takes attributes, not {body!r}")
    return _entity_from_yaml(str(tag), body, path)


def _entity_from_yaml(tag: str, body: dict[str, Any], path: Path) -> Entity:
    attributes: dict[str, Any] = {}
    children: list[Entity] = []
    for key, value in body.items():
        if key == "children":
            if not isinstance(value, list):
                raise LaunchFileError(f"{path}: children of <{tag}> are a list of actions, not {value!r}")
            children += [_action_from_yaml(child, path) for child in value]
        elif isinstance(value, list) and all(isinstance(part, dict) for part in value) and value:
            children += [_entity_from_yaml(str(key), part, path) for part in value]
        elif isinstance(value, dict):
            raise LaunchFileError(f"{path}: '{key}' of <{tag}> is a list of parts: write `- ` before each")
        else:
            attributes[str(key)] = value
    return Entity(tag, attributes, tuple(children), path)


def _check(entity: Entity, around: str | None) -> None:
    """Refuses what the grammar does not have."""
    rule = _rule(entity, around)
    for name in entity.attributes:
        if name not in rule.attributes:
            raise UnknownNameError("attribute", name, rule.attributes, str(entity))
    for name in rule.required:
        if name not in entity.attributes:
            raise LaunchFileError(f"{entity} lacks its attribute '{name}'")
    if entity.tag == "param":
        _check_parameter(entity)
    for child in entity.children:
        if ANYTHING in rule.children:
            _check(child, None)
        elif child.tag in rule.children:
            _check(child, entity.tag)
        else:
            raise UnknownNameError("tag", child.tag, rule.children, str(entity))


def _rule(entity: Entity, around: str | None) -> Tag:
    if around is not None:
        return PARTS[around, entity.tag]
    if entity.tag not in ACTIONS:
        raise UnknownNameError("launch tag", entity.tag, ACTIONS, str(entity.file))
    return ACTIONS[entity.tag]


def _check_parameter(entity: Entity) -> None:
    given = [name for name in ("value", "from") if name in entity.attributes] + ["param"] * bool(entity.parts("param"))
    if len(given) != 1:
        raise LaunchFileError(f"{entity} takes exactly one of value, from and nested param; it has {given or 'none'}")
    if ("from" in entity.attributes) == ("name" in entity.attributes):
        raise LaunchFileError(f"{entity} takes either a name or from")


def names(entities: Sequence[Entity]) -> list[str]:
    """Names of the arguments that a file declares at its top."""
    return [str(entity.attributes["name"]) for entity in entities if entity.tag == "arg"]
