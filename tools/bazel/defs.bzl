"""The rules of this project's BUILD files."""

load("@rules_python//python:defs.bzl", _py_library = "py_library", _py_test = "py_test")

def py_library(name, **kwargs):
    """A library that every room may use; the import order of the rooms is tested, not declared."""
    _py_library(
        name = name,
        visibility = ["//visibility:public"],
        **kwargs
    )

def pytest_test(name, deps = [], data = [], pytest_args = [], **kwargs):
    """Runs `<name>.py` with pytest; `--test_filter` is pytest's `-k`.

    Args:
        name: the test file's name without `.py`.
        deps: libraries that the test imports.
        data: files that the test reads.
        pytest_args: further arguments for pytest.
        **kwargs: passed on to `py_test`: `size`, `tags`, `shard_count`.
    """
    _py_test(
        name = name,
        srcs = [name + ".py", "//tools/bazel:run_pytest.py"],
        main = "//tools/bazel:run_pytest.py",
        args = ["$(rootpath %s.py)" % name] + pytest_args,
        data = data + ["//:pyproject.toml"],
        deps = deps + ["//tests:conftest"],
        **kwargs
    )
