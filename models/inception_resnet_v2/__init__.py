"""Inception-ResNet v2: modules of branches and residual blocks of them, in three versions."""
