"""The pure part: values in, values out. No sockets, files, clocks or logging; NumPy only."""
