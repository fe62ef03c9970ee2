"""Lets Debian's package bazel-bootstrap work without network.

That Bazel is built without the repositories which released ones download. The packages
bazel-rules-java, bazel-rules-proto and bazel-platforms hold some of them, tools/bazel/stubs the rest.
"""

_PACKAGED = {
    "platforms": "/usr/share/bazel/tools/platforms",
    "rules_java": "/usr/share/bazel/rules/java",
    "rules_proto": "/usr/share/bazel/rules/proto",
}
_STUBS = ["remote_coverage_tools", "rules_cc"]

def _find_debian_repositories_impl(repository_ctx):
    paths = dict(_PACKAGED)
    found = all([repository_ctx.path(path).exists for path in _PACKAGED.values()])
    for name in _STUBS:
        paths[name] = "tools/bazel/stubs/" + name

    # A released Bazel knows its version and brings or downloads its own repositories.
    lines = [
        "def debian_repositories():",
        "    if %s and not native.bazel_version:" % found,
    ] + [
        "        native.local_repository(name = %r, path = %r)" % item
        for item in paths.items()
    ]
    repository_ctx.file("BUILD", "")
    repository_ctx.file("repositories.bzl", "\n".join(lines) + "\n")

find_debian_repositories = repository_rule(
    implementation = _find_debian_repositories_impl,
    local = True,
    doc = "Makes a macro that declares Debian's repositories where they exist, and else nothing.",
)
