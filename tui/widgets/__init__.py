"""What is drawn: widgets that know rows and lines, not the box."""
