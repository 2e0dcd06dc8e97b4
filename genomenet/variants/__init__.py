"""Effects of variants and of single mutations, scored by any model."""
