"""The Python rules that Bazel has built in up to version 7."""

py_library = native.py_library
py_test = native.py_test
