"""What a notebook uses: models that take sequences and labels as they are."""
