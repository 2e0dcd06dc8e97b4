"""Finding motifs: words, matrices, their refinement and their significance."""
