"""`python -m keras_hypernet_cli` is `keras-hypernet`."""

from keras_hypernet_cli import main

main()
