"""Release folders: models as files, and how they are written, found and loaded."""
