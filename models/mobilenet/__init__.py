"""MobileNet: small convolutional nets for phones, in three versions each."""
