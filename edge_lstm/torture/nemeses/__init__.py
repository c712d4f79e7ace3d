"""What is done to daemons, one module a nemesis; each takes a `Setup` and gives a `Verdict`."""
