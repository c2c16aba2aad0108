"""A simulation that blows up is stopped, saved with what led to it, and can be simulated again."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import mujoco
import numpy as np
import pytest

from sim import incidents
from sim.incidents import (
    DEFAULT_FOLDER,
    FOLDER_VARIABLE,
    MODEL_FILE,
    RECORD_FILE,
    STATES_FILE,
    IncidentError,
    load_incident,
)
from sim.resimulation import STATE_SPEC, resimulate
from sim.state_ring import StateRing
from tutelage.cli.main import main
from tutelage.runs.replay_incident import ReplayIncidentConfig, replay_incident
from tutelage_core.errors import ConfigurationError, UnknownNameError

pytestmark = pytest.mark.sim

BLOCK = 10

CAMERA = '<camera name="side" pos="0 -2 0.5" xyaxes="1 0 0 0 0 1"/>'

MODEL = """
<mujoco>
  <option timestep="0.002"><flag autoreset="{autoreset}"/></option>
  <worldbody>
    <light pos="0 0 3"/>
    {camera}
    <body name="target" mocap="true" pos="0.1 0 0"/>
    <body name="cart">
      <joint name="rail" type="slide" axis="1 0 0" damping="1"/>
      <geom name="box" type="box" size="0.1 0.1 0.1" mass="1" contype="0" conaffinity="0" rgba="0.9 0.1 0.1 1"/>
    </body>
    <body name="cube" pos="0 0.5 0.3">
      <freejoint name="float"/>
      <geom type="box" size="0.05 0.05 0.05" mass="0.1"/>
    </body>
    <geom name="floor" type="plane" size="2 2 0.1" rgba="0.3 0.5 0.3 1"/>
  </worldbody>
  <actuator><motor name="push" joint="rail"/></actuator>
</mujoco>
"""


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in a folder of its own: MuJoCo writes its log, and the default folder of incidents is relative."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)


def make_model(camera: str = CAMERA, autoreset: str = "disable") -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(MODEL.format(camera=camera, autoreset=autoreset))


class Bench:
    """A small world under guard."""

    def __init__(self, capacity: int = 5, camera: str = CAMERA, folder: Path | None = None) -> None:
        self.model = make_model(camera)
        self.data = mujoco.MjData(self.model)
        self.ring = StateRing(self.model, capacity, folder)
        self.ring.begin({"task": "PushCart", "seed": 3, "room": {"table": "oak", "height_m": 0.02}})

    def run(self, blocks: int, meanwhile: Callable[[mujoco.MjData], None] = lambda _: None) -> None:
        """Run guarded blocks with a target that moves; `meanwhile` acts between the stored state and its block."""
        for _ in range(blocks):
            self.data.ctrl[0] = np.sin(20.0 * self.data.time)
            self.data.mocap_pos[0] = [self.data.time, 0.0, 0.2]
            self.ring.push(self.data)
            meanwhile(self.data)
            mujoco.mj_step(self.model, self.data, nstep=BLOCK)
            self.ring.check(self.data)

    def explode(self) -> IncidentError:
        """Let physics itself blow up, a few steps into a block: a spring of negative stiffness tears at the rail."""
        self.model.jnt_stiffness[self.model.joint("rail").id] = -4e7
        with pytest.raises(IncidentError) as caught:
            self.run(100)
        return caught.value


def saved(error: IncidentError) -> Path:
    assert error.folder is not None
    return error.folder


def reseal(folder: Path, name: str, content: bytes) -> None:
    """Replace a file and make the record agree with it."""
    (folder / name).write_bytes(content)
    record = json.loads((folder / RECORD_FILE).read_text())
    record["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / RECORD_FILE).write_text(json.dumps(record))


def run_cli(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["tutelage", "replay-incident", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_sound_simulation_passes_and_leaves_nothing_behind() -> None:
    bench = Bench()
    bench.run(20)
    assert not DEFAULT_FOLDER.exists()


def test_model_with_automatic_reset_is_refused_because_it_hides_the_blow_up() -> None:
    model = make_model(autoreset="enable")
    data = mujoco.MjData(model)
    data.qvel[0] = np.nan
    mujoco.mj_step(model, data)
    assert np.isfinite(data.qvel).all()
    with pytest.raises(ConfigurationError, match="mjDSBL_AUTORESET"):
        StateRing(model)


def test_flag_set_on_the_compiled_model_is_enough() -> None:
    model = make_model(autoreset="enable")
    model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)
    data, ring = mujoco.MjData(model), StateRing(model)
    ring.push(data)
    data.qvel[0] = np.nan
    mujoco.mj_step(model, data, nstep=BLOCK)
    with pytest.raises(IncidentError):
        ring.check(data)


def test_empty_ring_and_impossible_contexts_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="got 0"):
        StateRing(make_model(), 0)
    ring = StateRing(make_model())
    for context in ({"room": object()}, {"height_m": float("nan")}):
        with pytest.raises(ConfigurationError, match="plain data"):
            ring.begin(context)


@pytest.mark.parametrize(
    ("quantity", "index", "value", "name"),
    [
        ("qvel", 0, np.nan, "rail"),
        ("qvel", 5, np.inf, "float.ry"),
        ("qpos", 2, np.nan, "float.y"),
        ("qpos", 0, -np.inf, "rail"),
        ("qvel", 1, 1e11, "float.x"),
        ("ctrl", 0, np.nan, "push"),
    ],
)
def test_bad_number_is_caught_in_its_block_and_named(quantity: str, index: int, value: float, name: str) -> None:
    bench = Bench()
    bench.run(3)

    def poison(data: mujoco.MjData) -> None:
        getattr(data, quantity)[index] = value

    with pytest.raises(IncidentError) as caught:
        bench.run(1, poison)
    record = load_incident(saved(caught.value)).record
    assert (quantity, name) in {(b.quantity, b.name) for b in record.bad}
    assert record.time_s == pytest.approx(4 * BLOCK * 0.002)


def test_huge_force_is_caught_although_nothing_is_infinite_or_nan() -> None:
    bench = Bench()

    def pull(data: mujoco.MjData) -> None:
        data.qfrc_applied[0] = 1e12

    with pytest.raises(IncidentError, match="rail"):
        bench.run(1, pull)
    assert np.isfinite(bench.data.qvel).all()
    assert np.isfinite(bench.data.qpos).all()


def test_warning_within_the_block_is_caught_even_if_the_block_ends_sound() -> None:
    bench = Bench()
    bench.run(1)
    bench.ring.push(bench.data)
    bench.data.ctrl[0] = np.nan
    mujoco.mj_step(bench.model, bench.data, nstep=5)
    bench.data.ctrl[0] = 0.0
    mujoco.mj_step(bench.model, bench.data, nstep=5)
    with pytest.raises(IncidentError, match="ctrl of push") as caught:
        bench.ring.check(bench.data)
    assert load_incident(saved(caught.value)).record.warnings == {"BADCTRL": 5}


def test_older_warning_does_not_count_again() -> None:
    bench = Bench()
    bench.data.ctrl[0] = np.nan
    mujoco.mj_step(bench.model, bench.data)
    bench.run(3)


def test_ring_keeps_the_newest_states_in_order() -> None:
    bench = Bench(capacity=3)
    for expected in ([0.0], [0.0, 0.02], [0.0, 0.02, 0.04], [0.02, 0.04, 0.06], [0.04, 0.06, 0.08]):
        bench.run(1)
        np.testing.assert_allclose(bench.ring.states[:, 0], expected)
        assert len(bench.ring) == len(expected)


def test_stored_state_is_the_whole_state() -> None:
    bench = Bench()
    bench.run(2)
    bench.ring.push(bench.data)
    other = mujoco.MjData(bench.model)
    mujoco.mj_setState(bench.model, other, bench.ring.states[-1], STATE_SPEC)
    for data in (bench.data, other):
        mujoco.mj_step(bench.model, data, nstep=50)
    np.testing.assert_array_equal(other.qpos, bench.data.qpos)
    np.testing.assert_array_equal(other.qvel, bench.data.qvel)
    np.testing.assert_array_equal(other.mocap_pos, bench.data.mocap_pos)


def test_new_episode_forgets_the_states_of_the_last_one() -> None:
    bench = Bench()
    bench.run(4)
    bench.ring.begin({"task": "Other"})
    assert len(bench.ring) == 0


def test_time_that_starts_again_begins_a_new_history() -> None:
    bench = Bench()
    bench.run(4)
    bench.data.time = 0.0
    bench.run(2)
    np.testing.assert_allclose(bench.ring.states[:, 0], [0.0, 0.02])


def test_incident_tells_task_seed_room_target_and_versions() -> None:
    bench = Bench()
    folder = saved(bench.explode())
    record = load_incident(folder).record
    assert record.context == {"task": "PushCart", "seed": 3, "room": {"table": "oak", "height_m": 0.02}}
    last = bench.ring.states[-1]
    assert record.last_target["mocap"]["target"]["position_m"] == pytest.approx([last[0], 0.0, 0.2])
    assert record.last_target["ctrl"]["push"] == pytest.approx(np.sin(20.0 * last[0]))
    assert record.versions["mujoco"] == mujoco.__version__
    assert record.versions["numpy"] == np.__version__
    assert "git" in record.versions


def test_record_is_strict_json_although_it_tells_of_nan() -> None:
    bench = Bench()

    def poison(data: mujoco.MjData) -> None:
        data.qvel[0] = np.nan

    with pytest.raises(IncidentError) as caught:
        bench.run(1, poison)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    document = json.loads((saved(caught.value) / RECORD_FILE).read_text(), parse_constant=refuse)
    assert "nan" in {b["value"] for b in document["bad"]}


def test_error_names_joint_folder_and_command() -> None:
    error = Bench().explode()
    assert "of rail is" in str(error)
    assert f"tutelage replay-incident {saved(error)}" in str(error)


def test_folder_is_argument_before_variable_before_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert saved(Bench().explode()) == DEFAULT_FOLDER / "incident-0001"
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "named"))
    assert saved(Bench().explode()).parent == tmp_path / "named"
    assert saved(Bench(folder=tmp_path / "given").explode()).parent == tmp_path / "given"


def test_same_episode_raises_again_and_saves_once() -> None:
    bench = Bench()
    first = bench.explode()
    with pytest.raises(IncidentError) as again:
        bench.ring.check(bench.data)
    assert again.value.folder == first.folder
    assert len(list(DEFAULT_FOLDER.iterdir())) == 1


def test_nothing_is_ever_overwritten() -> None:
    first = saved(Bench().explode())
    content = (first / RECORD_FILE).read_bytes()
    (DEFAULT_FOLDER / "incident-0002.partial").mkdir()
    assert saved(Bench().explode()).name == "incident-0003"
    assert (first / RECORD_FILE).read_bytes() == content


def test_full_folder_takes_no_more_and_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incidents, "MOST_INCIDENTS", 1)
    Bench().explode()
    error = Bench().explode()
    assert error.folder is None
    assert "not saved" in str(error)
    assert len(list(DEFAULT_FOLDER.iterdir())) == 1


def test_folder_that_cannot_be_made_still_raises_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    error = Bench(folder=tmp_path / "file" / "incidents").explode()
    assert error.folder is None
    assert "of rail is" in str(error)
    assert "not saved" in str(error)


@pytest.mark.parametrize("write", [0, 1, 2])
def test_full_disk_leaves_no_half_incident(monkeypatch: pytest.MonkeyPatch, write: int) -> None:
    written: list[int] = []

    def refuse(descriptor: int) -> None:
        written.append(descriptor)
        if len(written) > write:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(incidents.os, "fsync", refuse)
    error = Bench().explode()
    assert error.folder is None
    assert "No space left" in str(error)
    assert list(DEFAULT_FOLDER.iterdir()) == []


def test_incident_appears_only_when_it_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, ...]] = []
    original = Path.rename

    def rename(self: Path, target: Path) -> Path:
        seen.append((self.name, *sorted(p.name for p in self.iterdir())))
        assert not target.exists()
        return original(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    Bench().explode()
    assert seen == [("incident-0001.partial", RECORD_FILE, MODEL_FILE, STATES_FILE)]


def test_check_without_a_stored_state_still_raises() -> None:
    bench = Bench()
    bench.data.qvel[0] = np.nan
    with pytest.raises(IncidentError, match="no state was stored"):
        bench.ring.check(bench.data)


def test_restored_state_goes_on_as_the_original_did() -> None:
    bench = Bench()
    incident = load_incident(saved(bench.explode()))
    data = mujoco.MjData(incident.model)
    incident.restore(data, 0)
    mujoco.mj_step(incident.model, data, nstep=incident.steps[0])
    expected = mujoco.MjData(incident.model)
    incident.restore(expected, 1)
    np.testing.assert_array_equal(data.qpos, expected.qpos)
    np.testing.assert_array_equal(data.qvel, expected.qvel)
    with pytest.raises(ConfigurationError, match="state 99"):
        incident.restore(data, 99)


def test_saved_model_is_the_model_as_it_was_changed() -> None:
    incident = load_incident(saved(Bench().explode()))
    assert incident.model.jnt_stiffness[incident.model.joint("rail").id] == -4e7


@pytest.mark.parametrize("name", [MODEL_FILE, STATES_FILE, RECORD_FILE])
def test_missing_file_is_refused_by_name(name: str) -> None:
    folder = saved(Bench().explode())
    (folder / name).unlink()
    with pytest.raises(ConfigurationError, match=name):
        load_incident(folder)


@pytest.mark.parametrize("name", [MODEL_FILE, STATES_FILE, RECORD_FILE])
def test_truncated_file_is_refused_by_name(name: str) -> None:
    folder = saved(Bench().explode())
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ConfigurationError, match=name):
        load_incident(folder)


@pytest.mark.parametrize("name", [MODEL_FILE, STATES_FILE])
def test_changed_byte_is_refused(name: str) -> None:
    folder = saved(Bench().explode())
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(bytes(content))
    with pytest.raises(ConfigurationError, match="checksum"):
        load_incident(folder)


def test_model_of_another_program_is_refused_with_both_versions() -> None:
    folder = saved(Bench().explode())
    reseal(folder, MODEL_FILE, b"no model" * 100)
    with pytest.raises(ConfigurationError, match=mujoco.__version__):
        load_incident(folder)


def test_states_that_do_not_fit_the_model_are_refused(tmp_path: Path) -> None:
    folder = saved(Bench().explode())
    good = dict(np.load(folder / STATES_FILE))
    wrong = {
        "states": ({"states": good["states"][:, :-1]}, "states has shape"),
        "seen": ({"seen": good["seen"][:-1]}, "seen has shape"),
        "steps": ({"steps": good["steps"][:-1]}, "has shape"),
        "float": ({"states": good["states"].astype(np.float32)}, "float32"),
        "empty": ({"states": good["states"][:0], "steps": good["steps"][:0]}, "one state or more"),
        "negative": ({"steps": -good["steps"]}, "negative"),
        "objects": ({"states": np.array([{}], dtype=object)}, "not the arrays"),
    }
    for change, message in wrong.values():
        arrays = {**good, **change}
        np.savez(tmp_path / "wrong.npz", states=arrays["states"], steps=arrays["steps"], seen=arrays["seen"])
        reseal(folder, STATES_FILE, (tmp_path / "wrong.npz").read_bytes())
        with pytest.raises(ConfigurationError, match=message):
            load_incident(folder)
    reseal(folder, STATES_FILE, b"no arrays")
    with pytest.raises(ConfigurationError, match="not the arrays"):
        load_incident(folder)


def test_record_with_unknown_or_missing_keys_or_of_another_version_is_refused() -> None:
    folder = saved(Bench().explode())
    record = json.loads((folder / RECORD_FILE).read_text())
    without = {k: v for k, v in record.items() if k != "time_s"}
    for wrong in ({**record, "extra": 1}, without, {**record, "format_version": 2}, [], {**record, "state_spec": 1}):
        (folder / RECORD_FILE).write_text(json.dumps(wrong))
        with pytest.raises(ConfigurationError):
            load_incident(folder)


def test_unfinished_incident_is_refused() -> None:
    folder = saved(Bench().explode())
    partial = folder.rename(folder.with_name(folder.name + ".partial"))
    with pytest.raises(ConfigurationError, match="never written to its end"):
        load_incident(partial)


def test_replay_blows_up_at_the_same_step_after_the_same_states() -> None:
    folder = saved(Bench(capacity=100).explode())
    replay = replay_incident(ReplayIncidentConfig(folder))
    blow_up = replay.incident.record.blow_up
    assert blow_up is not None
    assert replay.reproduced
    assert replay.resimulation.differing == ()
    assert 0 < blow_up.step <= BLOCK
    assert blow_up.state == len(replay.incident.states) - 1
    assert replay.resimulation.steps == blow_up.state * BLOCK + blow_up.step
    assert blow_up.bad[0].name == "rail"


def test_blow_up_step_is_the_first_one_after_which_the_state_is_bad() -> None:
    incident = load_incident(saved(Bench().explode()))
    blow_up = incident.record.blow_up
    assert blow_up is not None
    data = mujoco.MjData(incident.model)
    incident.restore(data, blow_up.state)
    mujoco.mj_step(incident.model, data, nstep=blow_up.step - 1)
    largest = [max(np.abs(v).max() for v in (data.qpos, data.qvel, data.qacc))]
    mujoco.mj_step(incident.model, data)
    largest.append(max(np.abs(v).max() for v in (data.qpos, data.qvel, data.qacc)))
    assert largest[0] <= mujoco.mjMAXVAL
    assert not largest[1] <= mujoco.mjMAXVAL


def test_number_written_from_outside_is_not_reproduced_and_the_replay_says_so() -> None:
    bench = Bench()
    bench.run(2)

    def poison(data: mujoco.MjData) -> None:
        data.qvel[0] = np.nan

    with pytest.raises(IncidentError) as caught:
        bench.run(1, poison)
    replay = replay_incident(ReplayIncidentConfig(saved(caught.value)))
    assert replay.incident.record.blow_up is None
    assert replay.resimulation.blow_up is None
    assert not replay.reproduced


def test_state_that_was_changed_between_blocks_is_noticed() -> None:
    bench = Bench()
    bench.run(2)
    bench.data.qpos[0] += 0.01
    bench.run(2)
    again = resimulate(bench.model, bench.ring.states, (BLOCK,) * 4)
    assert again.differing == (2,)
    assert again.blow_up is None


@pytest.mark.parametrize(("camera", "out"), [(CAMERA, None), ("", "strips/strip.png")])
def test_command_tells_what_happened_and_draws_it_with_and_without_a_camera(
    camera: str, out: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = saved(Bench(camera=camera).explode())
    assert run_cli(monkeypatch, str(folder), *(["--out", out] if out else [])) == 0
    told = capsys.readouterr().out
    assert "rail" in told
    assert "PushCart" in told
    assert "reproduced: it blows up again at the same step" in " ".join(told.split())
    picture = cv2.imread(out or str(folder / "film_strip.png"))
    assert picture is not None
    # the red cart is to be seen: far more red than blue somewhere (OpenCV's order is BGR)
    assert (picture[..., 2].astype(int) - picture[..., 0]).max() > 60


def test_command_fails_when_the_blow_up_does_not_come_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = Bench()

    def poison(data: mujoco.MjData) -> None:
        data.qvel[0] = np.nan

    with pytest.raises(IncidentError) as caught:
        bench.run(1, poison)
    assert run_cli(monkeypatch, str(saved(caught.value)), "--camera", "free") == 1
    assert "not reproduced" in capsys.readouterr().out


def test_command_refuses_folders_without_an_incident_and_unknown_cameras(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(monkeypatch, str(tmp_path)) == 1
    assert RECORD_FILE in capsys.readouterr().err
    folder = saved(Bench().explode())
    with pytest.raises(UnknownNameError, match="free, side"):
        replay_incident(ReplayIncidentConfig(folder, camera="sied"))


def test_replay_writes_no_mujoco_log(tmp_path: Path) -> None:
    folder = saved(Bench().explode())
    (tmp_path / "MUJOCO_LOG.TXT").unlink(missing_ok=True)
    replay_incident(ReplayIncidentConfig(folder))
    assert not (tmp_path / "MUJOCO_LOG.TXT").exists()
