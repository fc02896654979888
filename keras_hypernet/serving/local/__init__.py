"""A local server with TensorFlow Serving's two interfaces. Its modules need the libraries of the extra `serving`."""

from keras_hypernet.common.extras import needs_extra

with needs_extra("The server needs", "serving"):
    import grpc  # noqa: F401
    import prometheus_client  # noqa: F401
    import starlette  # noqa: F401
    import uvicorn  # noqa: F401
