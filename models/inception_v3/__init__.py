"""Inception v3: factorized convolutions side by side, in three versions."""
