"""Episodes: one MCAP file of ROS 2 messages each, written and read without ROS."""
