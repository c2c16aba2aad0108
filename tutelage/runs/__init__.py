"""Runs that join the rooms: collect, train, evaluate, ship, and the graph."""
