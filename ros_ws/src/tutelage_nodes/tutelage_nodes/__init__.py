"""Thin ROS 2 nodes: read parameters, wire topics, call the core, publish diagnostics."""
