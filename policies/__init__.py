"""Policies behind one protocol. Imports only `tutelage_core`; knows neither robot, nor simulator, nor rewards."""
