"""The verbs of ``edge-lstm`` that the device has; each is found through an entry point."""
