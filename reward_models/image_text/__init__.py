"""Models that put pictures and sentences into one space, behind one protocol."""
