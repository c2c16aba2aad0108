"""ROS 2 message definitions and their CDR coding, without ROS.

The standard messages come with rosbags; ours are read from the `.msg` files of the `tutelage_interfaces` package, the
only place where they are written down. Today's definitions are coded by rosbags (some 5 us for a 128 x 128 image). A
file says how its own messages are defined: one with other definitions is read by mcap_ros2, slower, but it is read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from mcap.records import Schema
from mcap_ros2.decoder import DecoderFactory
from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from tutelage_core.errors import ConfigurationError, EpisodeError

INTERFACES = "tutelage_interfaces"
"""ROS package that holds this project's messages."""

_SEPARATOR = "=" * 80 + "\n"


def interface_folders() -> Iterator[Path]:
    """Yield the folders that may hold our `.msg` files: the source tree, the wheel's copy, a sourced ROS workspace."""
    yield Path(__file__).resolve().parents[2] / "ros_ws" / "src" / INTERFACES / "msg"
    yield Path(__file__).resolve().parent / "msg"
    for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep):
        if prefix:
            yield Path(prefix) / "share" / INTERFACES / "msg"


@cache
def interface_texts() -> dict[str, str]:
    """Return the texts of our messages by type name, for example `tutelage_interfaces/msg/ArmState`.

    Raises:
        ConfigurationError: no folder holds them; the places that were looked at are listed.
    """
    for folder in interface_folders():
        files = sorted(folder.glob("*.msg"))
        if files:
            return {f"{INTERFACES}/msg/{f.stem}": f.read_text(encoding="utf-8") for f in files}
    places = ", ".join(str(folder) for folder in interface_folders())
    raise ConfigurationError(
        f"the .msg files of {INTERFACES} are in none of: {places}; run from a checkout, source "
        "the ROS workspace, or install a wheel that carries them"
    )


@cache
def typestore() -> Typestore:
    """Return the store of all messages that episodes are written with."""
    store = get_typestore(Stores.ROS2_JAZZY)
    types: dict[str, Any] = {}
    for name, text in interface_texts().items():
        types.update(get_types_from_msg(text, name))
    store.register(types)
    return store


@cache
def definition(name: str) -> str:
    """Return the definition of message type `name` and of all that it is made of, in MCAP's `ros2msg` format.

    Our own messages keep their comments, so that a reader of the file learns the units.
    """
    generated, _ = typestore().generate_msgdef(name, ros_version=2)
    own = interface_texts().get(name)
    if own is None:
        return generated
    _, separator, parts = generated.partition(_SEPARATOR)
    return own.rstrip("\n") + "\n" + separator + parts


def encode(message: object, name: str) -> bytes:
    """Return the CDR bytes of a message of type `name`."""
    return bytes(typestore().serialize_cdr(message, name))


def decode(data: bytes, name: str, text: str) -> Any:
    """Return the message of type `name`, defined by the file's own `text`, whose CDR bytes are `data`.

    Raises:
        EpisodeError: `data` or `text` is damaged.
    """
    try:
        return _decoder(name, text)(data)
    except Exception as error:  # the two libraries raise a dozen kinds, NameError among them, on damaged bytes
        raise EpisodeError(f"a message is not as it is defined: {name}: {type(error).__name__} {error}") from error


@cache
def _decoder(name: str, text: str) -> Callable[[bytes], Any]:
    if text == definition(name) or get_types_from_msg(text, name) == get_types_from_msg(definition(name), name):
        return lambda data: typestore().deserialize_cdr(data, name)
    # rosbags makes Python code of a definition and executes it, so it never sees one that comes from a file.
    decoder = DecoderFactory().decoder_for("cdr", Schema(id=1, name=name, encoding="ros2msg", data=text.encode()))
    if decoder is None:
        raise TypesysError(f"no decoder for {name}")
    return decoder
