"""DNA models in TensorFlow and Keras, from sequence file to prediction."""
