"""Records on disk between their arrival and their commit."""
