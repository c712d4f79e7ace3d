"""Sensor history in, one bundle out: the only package with TensorFlow, and never on a device."""
