"""The program: command line, runs that join the rooms, the launch runner and the correction page."""
