"""Inception v1 (GoogLeNet): four kinds of view side by side, in three versions."""
