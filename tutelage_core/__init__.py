"""The shared words of Tutelage: data types, contract, clock, session, episodes and encoders.

Nothing here knows ROS, a robot or a simulator.
"""
