"""``edge-lstm doctor``: will it run here, and if not, why not."""
