#!/bin/sh
echo "Debian's Bazel has no coverage tools" >&2
exit 1
