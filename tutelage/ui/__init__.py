"""The correction page: a web server that knows nothing of ROS, and the page it serves."""
