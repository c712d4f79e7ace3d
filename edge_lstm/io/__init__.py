"""The only modules that touch the outside: broker, disk, service manager."""
