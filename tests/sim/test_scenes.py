"""`tutelage sim`: film strips, sheets, parameters and refusals."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from tutelage.cli.main import main
from tutelage.runs.scenes import RoomConfig, SheetConfig, ShowConfig, named_room, room_parameters, sheet, show
from tutelage_core.errors import ConfigurationError, UnknownNameError


def test_show_writes_a_strip_of_the_expert(tmp_path: Path) -> None:
    result = show(ShowConfig(room="test:4", columns=5, profile="fast", output=tmp_path / "a" / "strip.png"))
    assert result.success
    assert cv2.imread(str(tmp_path / "a" / "strip.png")).shape == (14 + 256, 5 * 128, 3)


def test_a_sheet_has_a_picture_for_each_room(tmp_path: Path) -> None:
    picture = sheet(SheetConfig(rooms=8, profile="fast", output=tmp_path / "sheet.png"))
    assert picture.shape == (2 * 128, 6 * 128, 3)
    assert (picture[128:, 2 * 128 :] == 255).all()
    assert picture[128:, : 2 * 128].std() > 10.0


def test_parameters_show_what_was_set() -> None:
    assert room_parameters(RoomConfig("test:4", set=("table.height_m=0.03",)))["table.height_m"] == 0.03
    assert "cube.half_m" in room_parameters(RoomConfig("test:4"))
    assert named_room("test:4", ("table.pattern=tiles", "clutter.count=2")).given == (
        ("table.pattern", "tiles"),
        ("clutter.count", 2),
    )


def test_what_is_wrong_is_named() -> None:
    with pytest.raises(ConfigurationError, match="name=value"):
        named_room("test:4", ("table.height_m",))
    with pytest.raises(ConfigurationError, match=r"legal: 0 to 0\.06 m"):
        room_parameters(RoomConfig("test:4", set=("table.height_m=1",)))
    with pytest.raises(UnknownNameError, match="PickCube"):
        show(ShowConfig(task="PickCub"))
    with pytest.raises(ConfigurationError, match="at least 1 room"):
        sheet(SheetConfig(rooms=0))


def test_a_picture_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"\.png or \.jpg"):
        sheet(SheetConfig(rooms=1, output=tmp_path / "sheet.tif"))


def test_the_command_line_prints_the_share_of_rejected_rooms(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["tutelage", "sim", "screen", "--rooms", "3"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert "0 of 3 rooms rejected (0.0 %)" in capsys.readouterr().out
