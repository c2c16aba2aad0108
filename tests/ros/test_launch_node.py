"""The launch runner with a real node on real DDS: name, namespace and parameters arrive, and it ends in order."""

import io
import sys
import time
from pathlib import Path

import pytest

from tutelage.environment import INTERFACES, graph_environment
from tutelage.launch.runner import LaunchRunner

pytestmark = pytest.mark.ros

NODE = """#!/usr/bin/env python-of-the-tests
import rclpy
from rclpy.executors import ExternalShutdownException
from tutelage_interfaces.msg import ActionChunk

rclpy.init()
node = rclpy.create_node("unnamed")
node.declare_parameter("rate_hz", 1.0)
node.create_publisher(ActionChunk, "chunks", 1)
print(node.get_fully_qualified_name(), node.get_parameter("rate_hz").value, flush=True)
try:
    rclpy.spin(node)
except (KeyboardInterrupt, ExternalShutdownException):
    pass
node.destroy_node()
rclpy.try_shutdown()
"""

LAUNCH = """
launch:
- arg: {name: rate_hz, default: '10.0'}
- group:
  - push_ros_namespace: {namespace: lab}
  - node: {pkg: demo, exec: listener, name: ear, param: [{name: rate_hz, value: $(var rate_hz)}]}
"""


@pytest.mark.skipif(not INTERFACES.is_dir(), reason="the workspace is not built: run `make setup`")
def test_node_gets_name_namespace_and_parameters(tmp_path: Path) -> None:
    index = tmp_path / "share" / "ament_index" / "resource_index" / "packages"
    index.mkdir(parents=True)
    (index / "demo").touch()
    program = tmp_path / "lib" / "demo" / "listener"
    program.parent.mkdir(parents=True)
    python = tmp_path / "python-of-the-tests"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    program.write_text(NODE, encoding="utf-8")
    for path in (python, program):
        path.chmod(0o755)
    file = tmp_path / "file.launch.yaml"
    file.write_text(LAUNCH, encoding="utf-8")

    environment = graph_environment()
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
    environment["AMENT_PREFIX_PATH"] = f"{tmp_path}:{environment['AMENT_PREFIX_PATH']}"
    output = io.StringIO()
    with LaunchRunner(environment=environment, stream=output) as runner:
        runner.start(file, {"rate_hz": "25.0"})
        limit = time.monotonic() + 30.0
        while "/lab/ear" not in output.getvalue() and time.monotonic() < limit:
            time.sleep(0.05)
        assert runner.shutdown() == 0, output.getvalue()
    assert "[ear] /lab/ear 25.0" in output.getvalue()
