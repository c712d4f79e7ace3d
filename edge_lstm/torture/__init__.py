"""Proves on this machine that no reading and no alert is lost: faults, a perfect witness, a checker."""
