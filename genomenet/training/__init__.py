"""One explicit training loop for every family; TensorFlow, or JAX."""
