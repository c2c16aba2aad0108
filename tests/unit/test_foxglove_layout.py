"""The layout for Foxglove: every panel has its place, and shows something that our messages have."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from rosbags.interfaces import Nodetype

from tests.unit.episode_samples import METADATA, record
from tutelage.looking.foxglove import LAYOUT_FILE, layout_text, message_paths, write_layout
from tutelage_core.episodes import messages, schemas
from tutelage_core.errors import ConfigurationError

pytestmark = pytest.mark.unit

LIVE_KINDS = {
    "/arm/tcp_pose": "geometry_msgs/msg/PoseStamped",
    "/session/state": "tutelage_interfaces/msg/SessionState",
    "/diagnostics": "diagnostic_msgs/msg/DiagnosticArray",
}
"""Topics of the running graph that recordings do not have."""

RECORDED_KINDS = {
    messages.ARM_STATE_TOPIC: messages.ARM_STATE,
    messages.EXECUTED_TOPIC: messages.EXECUTED,
    messages.STATUS_TOPIC: messages.STATUS,
    messages.CHUNK_TOPIC: messages.CHUNK,
    **{messages.image_topic(camera): messages.IMAGE for camera in METADATA.contract.cameras},
}


def kind_of_path(path: str) -> tuple[Nodetype, Any]:
    """Return the type that a message path leads to; an AssertionError names what is not there."""
    topic, *fields = re.findall(r"/[\w/]+|\w+|\[\d+\]", path)
    kinds = {**LIVE_KINDS, **RECORDED_KINDS}
    assert topic in kinds, f"{path}: no topic of ours"
    found: Any = (Nodetype.NAME, kinds[topic])
    for field in fields:
        node, detail = found
        if field.startswith("["):
            assert node in (Nodetype.ARRAY, Nodetype.SEQUENCE), f"{path}: {field} of what is no array"
            element, size = detail
            assert node is Nodetype.SEQUENCE or int(field[1:-1]) < size, f"{path}: the array has {size} elements"
            found = element
        else:
            assert node is Nodetype.NAME, f"{path}: {field} of what is no message"
            members = dict(schemas.typestore().fielddefs[detail][1])
            assert field in members, f"{path}: {detail} has {', '.join(members)}"
            found = members[field]
    return found


def panels_in(node: Any) -> list[str]:
    if isinstance(node, str):
        return [node]
    assert set(node) == {"direction", "first", "second", "splitPercentage"}
    assert node["direction"] in ("row", "column")
    assert 0 < node["splitPercentage"] < 100
    return panels_in(node["first"]) + panels_in(node["second"])


def test_each_panel_has_its_settings_and_one_place() -> None:
    layout = json.loads(layout_text())
    placed = panels_in(layout["layout"])
    assert sorted(placed) == sorted(layout["configById"])
    assert len(set(placed)) == len(placed)
    kinds = {name.partition("!")[0] for name in placed}
    assert kinds == {"Image", "3D", "StateTransitions", "Plot", "RawMessages", "DiagnosticSummary"}


def test_every_message_path_leads_to_something_in_our_messages() -> None:
    paths = message_paths()
    assert len(paths) > 20
    for path in paths:
        kind_of_path(path)


def test_plots_show_numbers_and_panels_get_the_messages_they_can_show() -> None:
    panels = json.loads(layout_text())["configById"]
    for name, settings in panels.items():
        for series in settings.get("paths", ()):
            node, detail = kind_of_path(series["value"])
            numbers = ("float64", "uint8", "bool") if name.startswith("Plot") else ("uint8", "bool", "string")
            assert node is Nodetype.BASE, f"{name}: {series['value']} is not a single value"
            assert detail[0] in numbers, f"{name}: {series['value']} is {detail}"
        if name.startswith("Image"):
            assert kind_of_path(settings["imageMode"]["imageTopic"]) == (Nodetype.NAME, messages.IMAGE)


def test_check_of_paths_can_fail() -> None:
    for path in (
        "/arm/executed.executed[7]",
        "/arm/executed.excuted[0]",
        "/arm/nothing.executed",
        "/arm/state.wrench.x",
    ):
        with pytest.raises(AssertionError):
            kind_of_path(path)


def test_recordings_are_well_formed_for_foxglove_and_have_what_the_layout_shows(tmp_path: Path) -> None:
    path = record(tmp_path, "a", 3) / "episode.mcap"
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True, decoder_factories=[DecoderFactory()])
        summary = reader.get_summary()
        assert summary is not None
        assert reader.get_header().profile == "ros2"
        assert summary.statistics is not None
        assert summary.chunk_indexes, "without an index the file cannot be scrubbed"
        for channel in summary.channels.values():
            schema = summary.schemas[channel.schema_id]
            assert channel.message_encoding == "cdr"
            assert (schema.name, schema.encoding) == (RECORDED_KINDS[channel.topic], "ros2msg")
            assert schema.data.decode() == schemas.definition(schema.name)
        decoded = {channel.topic: message for _, channel, _, message in reader.iter_decoded_messages()}
    shown = {found.group() for path in message_paths() if (found := re.match(r"/[\w/]+", path))}
    assert shown - set(LIVE_KINDS) - {messages.CHUNK_TOPIC} == set(decoded)
    assert list(decoded["/arm/executed"].executed) == [2.0] * 7


def test_layout_is_written_beside_recordings_and_never_over_another(tmp_path: Path) -> None:
    path = write_layout(tmp_path)
    assert path == tmp_path / LAYOUT_FILE
    assert path.read_text(encoding="utf-8") == layout_text()
    assert write_layout(tmp_path) == path
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="is another layout, and none is overwritten"):
        write_layout(tmp_path)
    assert path.read_text(encoding="utf-8") == "{}"
    with pytest.raises(ConfigurationError, match="no such folder"):
        write_layout(tmp_path / "nowhere")
