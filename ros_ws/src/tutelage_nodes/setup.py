"""Build description of the node package."""

from setuptools import setup

PACKAGE = "tutelage_nodes"
NODES = (
    "twin_node",
    "camera_node",
    "arm_node",
    "policy_node",
    "session_node",
    "recorder_node",
    "learner_node",
    "reward_node",
    "verifier_node",
    "foxglove_node",
    "teleop_node",
    "ui_node",
    "run_episodes",
    "inject",
    "poison_probe",
    "fault_probe",
    "fuzz_probe",
    "teleop_probe",
    "image_probe",
    "latency_probe",
    "record_probe",
    "page_probe",
)

setup(
    name=PACKAGE,
    version="0.1.0",
    packages=[PACKAGE],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
    ],
    zip_safe=True,
    license="Apache-2.0",
    description="Thin ROS 2 nodes around Tutelage's core",
    entry_points={"console_scripts": [f"{node} = {PACKAGE}.{node}:main" for node in NODES]},
)
