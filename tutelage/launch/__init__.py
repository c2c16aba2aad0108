"""Runs ROS 2 launch files in YAML and XML form where the `launch` packages are not installed.

The same files run with `ros2 launch` on a robot. What this runner does not know it refuses by name.
"""
