"""`python -m keras_hypernet` is `keras-hypernet`."""

from keras_hypernet_cli import main

main()
