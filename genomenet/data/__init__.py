"""TFRecord datasets and the pipeline that reads them; TensorFlow."""
