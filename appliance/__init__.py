"""What turns a machine into a box: the one file, the service, certificates, upgrades, support."""
