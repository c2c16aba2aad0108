"""Arms, cameras and hands: the plug points, the SafetyGate and the drivers. Imports only `tutelage_core`."""
