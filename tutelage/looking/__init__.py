"""Ways to look at episodes: one picture, a Rerun recording, a layout for Foxglove."""
