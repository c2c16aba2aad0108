"""`$(...)` in launch files: parsed with nesting and quotes, refused by name where not accepted."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tutelage.launch import packages
from tutelage.launch.tree import LaunchFileError
from tutelage_core.errors import UnknownNameError

QUOTES = "'\""


@dataclass
class Scope:
    """What substitutions see at one place of a launch file.

    Attributes:
        variables: launch arguments and what `let` set.
        environment: variables for the processes.
        namespace: pushed ROS namespace, "" or starting with "/".
        folder: folder of the current launch file.
    """

    variables: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    namespace: str = ""
    folder: Path = Path()


def substitute(text: str, scope: Scope, where: str) -> str:
    r"""Replaces every `$(...)` in a text; `\$` stays a dollar sign.

    Args:
        text: as written.
        scope: what it may refer to.
        where: for error messages.

    Returns:
        The text with all values in.

    Raises:
        LaunchFileError: a bracket or quote is left open, or a name is not known.
    """
    out: list[str] = []
    position = 0
    while position < len(text):
        if text.startswith("\\$", position):
            out.append("$")
            position += 2
        elif text.startswith("$(", position):
            end = _closing(text, position + 2, where)
            out.append(_evaluate(text[position + 2 : end], scope, where))
            position = end + 1
        else:
            out.append(text[position])
            position += 1
    return "".join(out)


def words(text: str, where: str) -> list[str]:
    """Splits a command line at blanks that are in no quotes and no `$(...)`; quotes around a word are taken off."""
    found: list[str] = []
    current: list[str] = []
    begun = False
    position = 0
    while position < len(text):
        char = text[position]
        if text.startswith("$(", position):
            end = _closing(text, position + 2, where)
            current.append(text[position : end + 1])
            begun, position = True, end
        elif char in QUOTES:
            end = text.find(char, position + 1)
            if end < 0:
                raise LaunchFileError(f"{where}: a quote is left open in '{text}'")
            current.append(text[position + 1 : end])
            begun, position = True, end
        elif char.isspace():
            if begun:
                found.append("".join(current))
            current, begun = [], False
        else:
            current.append(char)
            begun = True
        position += 1
    return [*found, "".join(current)] if begun else found


def truth(text: str, where: str) -> bool:
    """The value of a condition.

    Raises:
        LaunchFileError: it is neither true nor false.
    """
    lowered = text.strip().lower()
    if lowered not in ("true", "1", "false", "0"):
        raise LaunchFileError(f"{where}: '{text}' is no condition; legal: true, 1, false, 0")
    return lowered in ("true", "1")


def _closing(text: str, begin: int, where: str) -> int:
    """Position of the bracket that closes the one before `begin`."""
    depth, quote = 1, ""
    for position in range(begin, len(text)):
        char = text[position]
        if quote:
            quote = "" if char == quote else quote
        elif char in QUOTES:
            quote = char
        elif char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
            if depth == 0:
                return position
    raise LaunchFileError(f"{where}: '$(' is never closed in '{text}'")


def _evaluate(inside: str, scope: Scope, where: str) -> str:
    kind, _, rest = inside.strip().partition(" ")
    if kind not in ACCEPTED:
        raise UnknownNameError("substitution", kind, ACCEPTED, where)
    if kind == "eval":
        return _equality(substitute(rest.strip(), scope, where), where)
    arguments = [substitute(word, scope, where) for word in words(rest, where)]
    low, high = ACCEPTED[kind]
    if not low <= len(arguments) <= high:
        count = str(low) if low == high else f"{low} to {high}"
        raise LaunchFileError(f"{where}: $({kind}) takes {count} words, not {len(arguments)}: '$({inside})'")
    if kind in LOGIC:
        return "true" if LOGIC[kind](arguments, where) else "false"
    return _lookup(kind, arguments, scope, where)


def _lookup(kind: str, arguments: list[str], scope: Scope, where: str) -> str:
    if kind == "dirname":
        return str(scope.folder)
    if kind == "find-pkg-share":
        return str(packages.package_share(arguments[0], scope.environment))
    if kind == "find-pkg-prefix":
        return str(packages.package_prefix(arguments[0], scope.environment))
    table: Mapping[str, str] = scope.variables if kind == "var" else scope.environment
    if arguments[0] in table:
        return table[arguments[0]]
    if len(arguments) > 1:
        return arguments[1]
    if kind == "var":
        raise UnknownNameError("launch variable", arguments[0], scope.variables, where)
    raise LaunchFileError(
        f"{where}: environment variable {arguments[0]} is not set; set it or write a default behind it"
    )


LOGIC = {
    "equals": lambda words, _: words[0] == words[1],
    "not-equals": lambda words, _: words[0] != words[1],
    "not": lambda words, where: not truth(words[0], where),
    "and": lambda words, where: truth(words[0], where) and truth(words[1], where),
    "or": lambda words, where: truth(words[0], where) or truth(words[1], where),
}

ACCEPTED: dict[str, tuple[int, int]] = {
    "var": (1, 2),
    "env": (1, 2),
    "find-pkg-share": (1, 1),
    "find-pkg-prefix": (1, 1),
    "dirname": (0, 0),
    "equals": (2, 2),
    "not-equals": (2, 2),
    "not": (1, 1),
    "and": (2, 2),
    "or": (2, 2),
    "eval": (1, 1),
}
"""Accepted substitutions, with the least and the largest number of words behind the name."""


def _equality(text: str, where: str) -> str:
    """`$(eval ...)`, restricted to comparisons of literals: a launch file holds no programs here."""
    if text[:1] in QUOTES and text[-1:] == text[0] and text[0] not in text[1:-1]:
        text = text[1:-1]
    try:
        return "true" if _compare(ast.parse(text.strip(), mode="eval").body) else "false"
    except (SyntaxError, ValueError) as error:
        raise LaunchFileError(
            f"{where}: $(eval {text}) is not accepted; legal: == and != between literals, joined by and, or, not "
            f"({error})"
        ) from error


def _compare(node: ast.expr) -> bool:
    if isinstance(node, ast.BoolOp):
        results = [_compare(value) for value in node.values]
        return all(results) if isinstance(node.op, ast.And) else any(results)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return not _compare(node.operand)
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.Eq | ast.NotEq):
        same = ast.literal_eval(node.left) == ast.literal_eval(node.comparators[0])
        return same if isinstance(node.ops[0], ast.Eq) else not same
    raise ValueError(f"'{ast.unparse(node)}' is no comparison")
