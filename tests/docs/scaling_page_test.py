"""What docs/scaling.md shows is run as far as one machine can."""

import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import yaml
from shimzoo.training import clusters
from shimzoo.training.limits import STRATEGIES

from .command_lines import arguments_of, options, parsed, trained_with

PAGE = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "scaling.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)


def blocks(language):
    return [text for kind, text in BLOCKS if kind == language]


def test_the_page_has_examples_of_all_kinds():
    assert [len(blocks(kind)) for kind in ("sh", "bash", "yaml", "python")] == [2, 3, 1, 1]


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch):
    for name in ("TF_CONFIG", "SLURM_STEP_NODELIST", "JOB_COMPLETION_INDEX", "TPU_NAME"):
        monkeypatch.delenv(name, raising=False)


def test_commands_of_one_machine_come_as_far_as_the_training(monkeypatch):
    lines = blocks("sh")[0].splitlines()
    configs = [trained_with(arguments_of(line), monkeypatch) for line in lines]
    assert [(config.strategy, config.replicas) for config in configs] == [
        ("mirrored", None),
        ("mirrored", 2),
    ]
    assert configs[1].sync_batch_norm


def test_the_command_for_a_tpu_is_one_line_without_one(tmp_path):
    variable, _, command = blocks("sh")[1].strip().partition(" ")
    name, _, value = variable.partition("=")
    run = subprocess.run(
        [sys.executable, "-m", "shimzoo.cli", *arguments_of(command)],
        cwd=tmp_path,
        env={**os.environ, name: value, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2, run.stderr
    lines = [line for line in run.stderr.splitlines() if "shimzoo" in line]
    assert len(lines) == 1, run.stderr
    assert lines[0].startswith("shimzoo: error: ")
    assert "TPU" in lines[0]
    assert not list(tmp_path.rglob("config.json"))


def test_options_on_the_page_exist():
    text = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
    assert len(named) > 5
    assert named <= options("train")


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_is_told(name):
    assert f"| `{name}` |" in PAGE


@pytest.mark.parametrize("script", blocks("bash"))
def test_scripts_parse(script):
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def calls_of(script, tmp_path, **variables):
    """What a script's `./zoo`, `shimzoo` or `srun` was called with: TF_CONFIG and arguments."""
    file = tmp_path / "calls"
    file.unlink(missing_ok=True)
    # A line in one write, as scripts start several at a time.
    line = 'line=$(printf "%s\\t" "$TF_CONFIG" "$@")'
    stub = f'#!/bin/bash\n{line}\necho "$line" >> {file}\n'
    for name in ("zoo", "shimzoo", "srun"):
        (tmp_path / name).write_text(stub)
        (tmp_path / name).chmod(0o755)
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", **variables}
    subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environ, check=True)
    calls = [line.split("\t")[:-1] for line in file.read_text().splitlines()]
    return [(tf_config, arguments) for tf_config, *arguments in calls]


def cluster_of(arguments, monkeypatch, tf_config=None):
    """The cluster that a command finds in the environment."""
    if tf_config is not None:
        monkeypatch.setenv("TF_CONFIG", tf_config)
    config = trained_with(arguments, monkeypatch)
    return clusters.find(config.strategy)


@pytest.mark.parametrize(("number", "size"), [(0, 2), (2, 3)])
def test_clusters_of_scripts_are_found(number, size, tmp_path, monkeypatch):
    calls = calls_of(blocks("bash")[number], tmp_path)
    found = [cluster_of(arguments, monkeypatch, tf_config) for tf_config, arguments in calls]
    assert [cluster.num_tasks for cluster in found] == [size] * size
    assert len({(cluster.role, cluster.index) for cluster in found}) == size
    assert len({cluster.address for cluster in found}) == size


def test_each_task_of_the_slurm_script_finds_its_place(tmp_path, monkeypatch):
    script = blocks("bash")[1]
    nodes = int(re.search(r"#SBATCH .*--nodes=(\d+) --ntasks-per-node=1", script)[1])
    ((_, of_srun),) = calls_of(script, tmp_path, SCRATCH=str(tmp_path))
    program = of_srun.index("./zoo")
    assert "--resv-ports=1" in of_srun[:program]
    step = {
        "SLURM_STEP_NODELIST": f"n[1-{nodes}]",
        "SLURM_STEP_NUM_TASKS": str(nodes),
        "SLURM_STEP_TASKS_PER_NODE": f"1(x{nodes})",
        # One port of each node, as the script asks for.
        "SLURM_STEP_RESV_PORTS": "12000",
    }
    for task in range(nodes):
        place = {"SLURM_PROCID": str(task), "SLURMD_NODENAME": f"n{task + 1}"}
        for name, value in (step | place).items():
            monkeypatch.setenv(name, value)
        cluster = cluster_of(of_srun[program + 1 :], monkeypatch)
        assert (cluster.origin, cluster.num_tasks) == ("SLURM", nodes)
        assert cluster.address == f"n{task + 1}:12000"


def test_the_slurm_script_resumes_where_there_is_a_run(tmp_path):
    script = blocks("bash")[1]
    run = tmp_path / "runs" / "zoo"
    for is_there in (False, True):
        ((_, arguments),) = calls_of(script, tmp_path, SCRATCH=str(tmp_path))
        values = parsed(arguments[arguments.index("./zoo") + 1 :])
        assert (values["out"], values["resume"]) == (run, is_there)
        run.mkdir(parents=True, exist_ok=True)
        (run / "config.json").write_text("{}")


def test_the_kubernetes_manifest_gives_each_pod_its_place(tmp_path, monkeypatch):
    service, job = yaml.safe_load_all(blocks("yaml")[0])
    name = service["metadata"]["name"]
    assert service["spec"]["selector"] == {"batch.kubernetes.io/job-name": job["metadata"]["name"]}
    pod = job["spec"]["template"]["spec"]
    # Else what `exec` starts would be process 1, on which no signal acts that it does not handle.
    assert pod["shareProcessNamespace"] is True
    assert pod["subdomain"] == name
    (container,) = pod["containers"]
    assert container["command"] == ["bash", "-c"]
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]}
    count = job["spec"]["completions"]
    assert job["spec"]["parallelism"] == count
    for index in range(count):
        ((tf_config, arguments),) = calls_of(
            container["args"][0], tmp_path, JOB_COMPLETION_INDEX=str(index)
        )
        cluster = cluster_of(arguments, monkeypatch, tf_config)
        # Kubernetes' names of an indexed job's pods, under the service's.
        assert cluster.address == f"{job['metadata']['name']}-{index}.{name}:2222"
        assert cluster.num_tasks == count
        out = parsed(arguments)["out"]
        assert any(out.is_relative_to(mount["mountPath"]) for mount in container["volumeMounts"])


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
