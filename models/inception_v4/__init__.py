"""Inception v4: modules of branches side by side, in three versions."""
