"""Continual learning: sequences of tasks, and losses that retain earlier tasks."""

from keras_hypernet.continual.digits import DigitSequence
from keras_hypernet.continual.elastic_weights import ElasticWeights
from keras_hypernet.continual.output_regularizer import OutputRegularizer
from keras_hypernet.continual.polynomials import PolynomialSequence
from keras_hypernet.continual.sequences import TaskSequence

__all__ = ["DigitSequence", "ElasticWeights", "OutputRegularizer", "PolynomialSequence", "TaskSequence"]
