"""Inception v2: modules with two 3x3 convolutions for one of 5x5, in three versions."""
