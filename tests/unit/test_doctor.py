"""The doctor: one line for each check, a remedy for each that is not well, failure only where it is one."""

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from tutelage import doctor
from tutelage.doctor import DoctorSettings, Finding, Level

pytestmark = pytest.mark.unit

Usage = namedtuple("Usage", "total used free")


def test_warning_is_no_failure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(doctor, "CHECKS", (lambda _: Finding(Level.WARN, "disk", "little", "delete something"),))
    assert doctor.run_doctor() == 0
    assert "warn  disk: little; delete something" in capsys.readouterr().out


def test_failure_sets_the_exit_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(doctor, "CHECKS", (lambda _: Finding(Level.FAIL, "ROS 2", "not there", "run `make setup`"),))
    assert doctor.run_doctor() == 1
    assert "1 failed" in capsys.readouterr().out


def test_full_disk_is_said_with_what_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10e9, 9e9, 1e9))
    assert str(doctor.check_disk(DoctorSettings())) == "warn  disk: 1.0 GB free; recordings want 5 GB"


def test_small_shared_memory_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(64e6, 0, 64e6))
    monkeypatch.setattr(doctor, "SHARED_MEMORY", tmp_path)
    finding = doctor.check_transport(DoctorSettings())
    assert finding.level is Level.WARN
    assert "--shm-size" in finding.remedy


def test_package_of_another_version_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "runtime.txt").write_text("numpy==0.0.1\nno-such-package==1.0\n", encoding="utf-8")
    monkeypatch.setattr(doctor, "ROOT", tmp_path)
    finding = doctor.check_packages(DoctorSettings())
    assert "(locked 0.0.1)" in finding.detail
    assert "no-such-package missing" in finding.detail
    assert finding.remedy


def test_child_that_crashes_is_a_failed_check() -> None:
    assert doctor._child("import os; os.abort()") == (False, "exit code -6")
