"""ResNet v1 and v2, each in three versions."""
