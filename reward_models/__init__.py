"""Reward models behind one protocol. Imports only `tutelage_core`; knows neither policies, nor robot, nor simulator."""
