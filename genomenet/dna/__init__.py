"""DNA sequences: alphabet, encoding, k-mers, files and windows."""
