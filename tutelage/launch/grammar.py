"""The part of the launch language that the runner accepts: tags, their attributes and their children."""

from dataclasses import dataclass

ANYTHING = "*"
"""As a tag's children: every action."""


@dataclass(frozen=True)
class Tag:
    """What may stand in one tag.

    Attributes:
        required: attributes that have to be there.
        optional: attributes that may be there.
        children: tags inside it; `(ANYTHING,)` for a scope of actions.
        action: whether it may stand in a launch file or a group by itself.
    """

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    action: bool = True

    @property
    def attributes(self) -> tuple[str, ...]:
        """All legal attributes."""
        return self.required + self.optional


CONDITIONS = ("if", "unless")
PROCESS = ("output", "respawn", "respawn_delay", "on_exit", *CONDITIONS)
OUTPUTS = ("screen", "log", "both")
PARAMETER_TYPES = ("str", "int", "float", "bool")

ACTIONS: dict[str, Tag] = {
    "arg": Tag(("name",), ("default", "description", *CONDITIONS), ("choice",)),
    "let": Tag(("name", "value"), CONDITIONS),
    "group": Tag((), ("scoped", *CONDITIONS), (ANYTHING,)),
    "push_ros_namespace": Tag(("namespace",), CONDITIONS),
    "push-ros-namespace": Tag(("namespace",), CONDITIONS),
    "set_env": Tag(("name", "value"), CONDITIONS),
    "unset_env": Tag(("name",), CONDITIONS),
    "include": Tag(("file",), CONDITIONS, ("arg",)),
    "executable": Tag(("cmd",), ("name", "cwd", *PROCESS), ("env",)),
    "node": Tag(
        ("pkg", "exec"), ("name", "namespace", "args", "ros_args", "cwd", *PROCESS), ("param", "remap", "env")
    ),
}  # fmt: skip

PARTS: dict[tuple[str, str], Tag] = {
    ("arg", "choice"): Tag(("value",), action=False),
    ("include", "arg"): Tag(("name", "value"), action=False),
    ("executable", "env"): Tag(("name", "value"), action=False),
    ("node", "env"): Tag(("name", "value"), action=False),
    ("node", "remap"): Tag(("from", "to"), action=False),
    ("node", "param"): Tag((), ("name", "value", "from", "allow_substs", "type"), ("param",), action=False),
    ("param", "param"): Tag((), ("name", "value", "type"), ("param",), action=False),
}
"""What stands inside an action, by the tag around it and its own."""
