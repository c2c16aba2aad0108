"""LeRobotDataset v3.0: `export_episode` and `assemble` write one, `import_episode` makes episodes of one."""
