"""Success classifier: tells from the cameras whether a task is done; the sparse reward of HIL-SERL.

A small head on a frozen trunk's maps, trained from a few labelled episodes (Luo et al. 2024, arXiv:2410.21845, and its
published code), with what that code lacks: a split by episodes, a threshold that is chosen for precision, and a
detector that asks for several frames in a row and may say that it is not sure.
"""
