"""Behaviour cloning: a convolutional policy that regresses chunks of steps from demonstrations."""
