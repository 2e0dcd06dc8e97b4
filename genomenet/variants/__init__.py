"""Effects of variants and of every single mutation, by any model."""
