"""What a notebook uses: the calls behind the commands."""
