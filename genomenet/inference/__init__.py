"""Models over files: streaming windows in, tables out; TensorFlow."""
