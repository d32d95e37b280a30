"""The box as a service of systemd: its unit, user, directories and completion, put in and out."""
