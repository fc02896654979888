"""A local server of TensorFlow Serving's two interfaces."""
