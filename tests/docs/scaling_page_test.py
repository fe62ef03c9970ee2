"""What docs/scaling.md shows can be run: settings exist, scripts parse, the JAX example trains."""

import dataclasses
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
import yaml
from shimzoo.training import DEMO, TrainConfig, clusters
from shimzoo.training.limits import STRATEGIES

PAGE = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "scaling.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
FIELDS = {field.name: field for field in dataclasses.fields(TrainConfig)}
# What follows `train` on a command line, up to what the shell takes.
COMMANDS = re.findall(r"(?:\./zoo|shimzoo) train ((?:--?[\w-]+(?: \S+)?[ \n])+)", PAGE)


def blocks(language):
    return [text for kind, text in BLOCKS if kind == language]


def settings_of(command):
    """The fields that a command's options stand for, as they would be parsed."""
    settings = {}
    words = [word for word in shlex.split(command) if word not in ("&", "$resume")]
    while words:
        name = words.pop(0).removeprefix("--").replace("-", "_")
        value = words.pop(0) if words and not words[0].startswith("--") else True
        if name == "out":
            continue
        assert name in FIELDS, f"--{name} is no option"
        settings[name] = int(value) if str(value).isdecimal() else value
    return settings


def test_the_page_has_commands_of_all_kinds():
    assert len(COMMANDS) == 7
    assert {len(blocks(kind)) for kind in ("sh", "bash", "yaml", "python")} == {1, 2, 3}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_have_settings_that_are_allowed(command):
    settings = settings_of(command)
    assert settings["strategy"] in STRATEGIES
    dataclasses.replace(DEMO.config, **settings)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_is_told(name):
    assert f"| `{name}` |" in PAGE


@pytest.mark.parametrize("script", blocks("bash"))
def test_scripts_parse(script):
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def run_with_stub(script, tmp_path, **variables):
    """What a script's `./zoo`, `shimzoo` or `srun` was called with: TF_CONFIG and arguments."""
    stub = f'#!/bin/bash\necho "$TF_CONFIG|$*" >> {tmp_path}/calls\n'
    for name in ("zoo", "shimzoo", "srun"):
        (tmp_path / name).write_text(stub)
        (tmp_path / name).chmod(0o755)
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", **variables}
    subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environ, check=True)
    calls = (tmp_path / "calls").read_text().splitlines()
    return sorted(call.split("|") for call in calls)


@pytest.mark.parametrize(("number", "strategy"), [(0, "multi_worker"), (2, "parameter_server")])
def test_clusters_of_scripts_are_found(number, strategy, tmp_path, monkeypatch):
    calls = run_with_stub(blocks("bash")[number], tmp_path)
    tasks = set()
    for tf_config, arguments in calls:
        assert f"--strategy {strategy}" in arguments
        monkeypatch.setenv("TF_CONFIG", tf_config)
        cluster = clusters.find(strategy)
        tasks.add((cluster.role, cluster.index))
    assert len(tasks) == len(calls) == cluster.num_tasks


def test_the_slurm_script_resumes_where_there_is_a_run(tmp_path):
    script = blocks("bash")[1]
    assert "#SBATCH" in script
    ((_, first),) = run_with_stub(script, tmp_path, SCRATCH=str(tmp_path))
    assert "--resume" not in first
    run = tmp_path / "runs" / "zoo"
    run.mkdir(parents=True)
    (run / "config.json").write_text("{}")
    _, (_, second) = run_with_stub(script, tmp_path, SCRATCH=str(tmp_path))
    assert second.endswith(f"--out {run} --resume")


def test_the_kubernetes_manifest_gives_each_pod_its_place(tmp_path, monkeypatch):
    service, job = yaml.safe_load_all(blocks("yaml")[0])
    name = service["metadata"]["name"]
    assert service["spec"]["selector"] == {"batch.kubernetes.io/job-name": job["metadata"]["name"]}
    pod = job["spec"]["template"]["spec"]
    assert pod["subdomain"] == name
    (container,) = pod["containers"]
    assert container["command"] == ["bash", "-c"]
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]}
    count = job["spec"]["completions"]
    for index in range(count):
        calls = run_with_stub(container["args"][0], tmp_path, JOB_COMPLETION_INDEX=str(index))
        monkeypatch.setenv("TF_CONFIG", calls[-1][0])
        cluster = clusters.find("multi_worker")
        # Kubernetes' names of an indexed job's pods, under the service's.
        assert cluster.address == f"{job['metadata']['name']}-{index}.{name}:2222"
        assert cluster.num_tasks == count


def jax_losses(devices):
    """The losses of the page's example on so many devices, in float64."""
    (example,) = blocks("python")
    start = "import keras\nkeras.config.set_floatx('float64')\n"
    report = "import json, jax\nprint(json.dumps([len(jax.devices()), history.history['loss']]))"
    environ = os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "KERAS_BACKEND": "jax",
        "JAX_ENABLE_X64": "1",
    }
    output = subprocess.run(
        [sys.executable, "-c", f"{start}{example}\n{report}"],
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    return json.loads(output.splitlines()[-1])


def test_on_jax_two_devices_give_the_losses_of_one():
    (one, expected), (two, losses) = jax_losses(1), jax_losses(2)
    assert (one, two) == (1, 2)
    np.testing.assert_allclose(losses, expected, rtol=1e-6)
