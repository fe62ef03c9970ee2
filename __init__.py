"""TF-Slim and compat.v1 models, alive on today's TensorFlow with Keras 3."""
