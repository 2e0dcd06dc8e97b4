"""Release folders: writes, locates and loads models as files."""
