"""The twin: time, determinism, pictures."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sim.assets import AssetSettings, build_assets
from sim.incidents import IncidentError, load_incident
from sim.twin import Twin
from tutelage_core.contract import RobotContract, load_contract
from tutelage_core.errors import ConfigurationError, UnknownNameError
from tutelage_core.rotations import apply_step
from tutelage_core.types import ArmCommand

FINGERPRINT = """
from tests.sim.test_twin import fingerprint
from sim.twin import Twin
from tutelage_core.contract import load_contract
print(fingerprint(Twin(load_contract("twin")), 7))
"""


@pytest.fixture(scope="module")
def contract() -> RobotContract:
    return load_contract("twin")


@pytest.fixture(scope="module")
def twin(contract: RobotContract) -> Twin:
    return Twin(contract)


def fingerprint(twin: Twin, seed: int, periods: int = 26) -> str:
    """Return a hash of all states and some pictures of an episode with the expert's steps on plain targets."""
    digest = hashlib.sha256()
    twin.reset(seed)
    target = twin.arm_state().T_base_tcp
    for period in range(periods):
        step = twin.expert_step()
        target = apply_step(target, step)
        twin.advance(ArmCommand(twin.time_ns, target, float(step[6])))
        digest.update(twin.world.data.qpos.tobytes() + twin.world.data.qvel.tobytes())
        digest.update(twin.arm_state().wrench.tobytes() + repr(twin.task_status()).encode())
        if period % 8 == 0:
            digest.update(twin.render("front").tobytes() + twin.render("wrist").tobytes())
    return digest.hexdigest()


def test_two_processes_give_the_same_states_and_pixels(twin: Twin) -> None:
    other = subprocess.run([sys.executable, "-c", FINGERPRINT], capture_output=True, text=True, check=True)
    assert other.stdout.split()[-1] == fingerprint(twin, 7)


def test_reset_forgets_every_history(contract: RobotContract, twin: Twin) -> None:
    fingerprint(twin, 3)
    fresh = Twin(contract, seed=11)
    assert fingerprint(twin, 11) == fingerprint(fresh, 11)
    fresh.close()


def test_other_seeds_give_other_episodes(twin: Twin) -> None:
    assert fingerprint(twin, 1, periods=1) != fingerprint(twin, 2, periods=1)


def test_looking_does_not_change_what_happens(twin: Twin) -> None:
    def run(look: bool) -> bytes:
        twin.reset(4)
        target = apply_step(twin.arm_state().T_base_tcp, np.array([0.02, 0.01, -0.02, 0.0, 0.0, 0.1]))
        for _ in range(5):
            if look:
                twin.render("front")
                twin.arm_state()
                twin.expert_step()
            twin.advance(ArmCommand(0, target, 0.5))
        return twin.world.data.qpos.tobytes()

    assert run(look=True) == run(look=False)


def test_five_slices_do_what_one_period_does(twin: Twin) -> None:
    def run(slices: int) -> bytes:
        twin.reset(4)
        command = ArmCommand(0, apply_step(twin.arm_state().T_base_tcp, np.array([0.02, 0, -0.02, 0, 0, 0.1])), 0.3)
        for _ in range(3 * slices):
            twin.advance(command, period_ns=twin.contract.period_ns // slices)
        return twin.world.data.qpos.tobytes()

    assert run(5) == run(1)


def test_time_counts_from_the_reset(twin: Twin) -> None:
    twin.reset(0)
    assert twin.time_ns == 0 == twin.arm_state().stamp_ns
    twin.advance(None)
    twin.advance(None, period_ns=20_000_000)
    assert twin.time_ns == 120_000_000 == twin.arm_state().stamp_ns


def test_holding_stays_where_it_is(twin: Twin) -> None:
    twin.reset(5)
    before = twin.arm_state().T_base_tcp.position
    for _ in range(20):
        twin.advance(None)
    assert np.abs(twin.arm_state().T_base_tcp.position - before).max() < 1e-4


@pytest.mark.parametrize("how", ["no target", "target that holds"])
def test_hold_in_motion_brings_every_joint_to_rest_at_once_and_keeps_it_there(twin: Twin, how: str) -> None:
    twin.reset(5)
    start = twin.arm_state().T_base_tcp
    goal = apply_step(start, np.array([0.025, 0, 0, 0, 0, 0]))
    twin.advance(ArmCommand(0, goal, 1.0))
    assert np.linalg.norm(twin.arm_state().tcp_velocity[:3]) > 0.12
    measured = twin.arm_state().T_base_tcp.position
    hold = None if how == "no target" else ArmCommand(0, goal, 1.0, hold=True)
    states = []
    for _ in range(100):
        twin.advance(hold, 10_000_000)
        states.append(twin.arm_state())
    speeds = np.array([np.abs(state.joint_velocities).max() for state in states])
    places = np.array([state.T_base_tcp.position for state in states])
    assert (speeds[20:] < 0.01).all(), "200 ms after it began, and for good"
    assert np.linalg.norm(places - measured, axis=1).max() < 5e-3, "the way that it brakes on"
    assert np.linalg.norm(places[20:] - places[-1], axis=1).max() < 5e-4


def test_arm_that_held_goes_on_as_one_that_never_did(twin: Twin) -> None:
    """Bracing changes the model: it must be undone, or every later episode would be another."""
    reached = []
    for holds in (False, True):
        twin.reset(5)
        if holds:
            twin.advance(None)
            twin.reset(5)
        start = twin.arm_state().T_base_tcp
        for k in range(1, 4):
            twin.advance(ArmCommand(0, apply_step(start, np.array([0.02 * k, 0, 0, 0, 0, 0])), 1.0))
        reached.append(twin.arm_state().joint_positions)
    np.testing.assert_array_equal(reached[0], reached[1])


def test_start_is_near_home_with_open_gripper(twin: Twin) -> None:
    home = np.array(twin.contract.arm.home_joint_positions)
    starts = []
    for seed in range(6):
        twin.reset(seed)
        state = twin.arm_state()
        starts.append(state.T_base_tcp.position)
        assert state.gripper_opening > 0.98
        assert np.abs(state.joint_positions - home).max() < 0.25
        assert np.abs(state.tcp_velocity).max() < 1e-2
    assert 1e-3 < float(np.std(starts, axis=0).max()) < 0.03


def test_pictures_have_the_contracts_size_and_show_the_red_cube(twin: Twin) -> None:
    for seed in range(3):
        twin.reset(seed)
        image = twin.render("front")
        camera = twin.contract.cameras["front"]
        assert image.shape == (camera.height, camera.width, 3)
        assert image.dtype == np.uint8
        red = (image[..., 0] > 70) & (image[..., 0] > 2.2 * image[..., 1]) & (image[..., 0] > 2.2 * image[..., 2])
        assert red.sum() > 60
        assert (image == 255).all(axis=-1).mean() < 0.02


def test_render_profiles_see_the_same_state_and_not_the_same_picture(contract: RobotContract) -> None:
    states, pictures = [], []
    for profile in ("fast", "pretty"):
        twin = Twin(contract, seed=6, rooms="test", profile=profile)
        target = apply_step(twin.arm_state().T_base_tcp, np.array([0.02, 0, -0.02, 0, 0, 0.1]))
        seen = b""
        for _ in range(5):
            pictures.append(twin.render("front"))
            twin.advance(ArmCommand(0, target, 0.3))
            seen += twin.world.data.qpos.tobytes() + twin.world.data.qvel.tobytes() + repr(twin.points()).encode()
        states.append(seen)
        twin.close()
    assert states[0] == states[1]
    assert np.abs(pictures[0].astype(int) - pictures[5]).mean() > 1.0  # shadows


def test_an_unknown_profile_is_refused_with_the_legal_names(contract: RobotContract) -> None:
    with pytest.raises(UnknownNameError, match="pretty"):
        Twin(contract, profile="prety")


def test_a_state_that_blows_up_ends_the_episode_and_is_saved(
    contract: RobotContract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUTELAGE_INCIDENTS", str(tmp_path))
    twin = Twin(contract, seed=6, rooms="test")
    twin.advance(None)
    twin.world.data.qvel[-1] = np.nan
    with pytest.raises(IncidentError, match="cube"):
        twin.advance(None)
    incident = load_incident(next(tmp_path.iterdir()))
    assert incident.record.context == {"task": "PickCube", "seed": 6, "room": "test:6"}
    twin.reset(7)  # and the next episode is sound
    twin.advance(None)
    assert np.isfinite(twin.world.data.qpos).all()
    twin.close()


def test_pictures_are_not_overwritten_by_later_ones(twin: Twin) -> None:
    twin.reset(0)
    first = twin.render("front")
    kept = first.copy()
    twin.reset(1)
    twin.render("front")
    assert np.array_equal(first, kept)


def test_unknown_names_are_refused_with_the_legal_ones(contract: RobotContract, twin: Twin) -> None:
    with pytest.raises(UnknownNameError, match="PickCube"):
        Twin(contract, task="PickCub")
    with pytest.raises(UnknownNameError, match="wrist"):
        twin.render("wirst")


def test_periods_that_are_no_multiple_of_a_physics_step_are_refused(twin: Twin) -> None:
    with pytest.raises(ConfigurationError, match="multiples"):
        twin.advance(None, period_ns=3_000_001)


def test_assets_are_few_faces_with_their_licence() -> None:
    folder = build_assets()
    faces = sum(line.startswith("f ") for path in folder.glob("*.obj") for line in path.read_text().splitlines())
    assert 2_000 < faces < 12_000
    assert "Apache" in (folder / "LICENSE").read_text()
    assert (folder / "NOTICE").is_file()


def test_assets_are_built_the_same_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = AssetSettings(arm_faces=900, hand_faces=200)
    contents = []
    for name in ("first", "second"):
        monkeypatch.setenv("TUTELAGE_CACHE", str(tmp_path / name))
        folder = build_assets(settings)
        contents.append({p.name: p.read_bytes() for p in folder.iterdir()})
        assert build_assets(settings) == folder
        assert [p.name for p in folder.parent.iterdir()] == [folder.name]
    assert contents[0] == contents[1]


def test_missing_wheel_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="pip install"):
        build_assets()
