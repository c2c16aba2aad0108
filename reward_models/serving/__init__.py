"""Reward models at work beside a robot: in processes of their own, with deadlines, and a word for every failure."""
