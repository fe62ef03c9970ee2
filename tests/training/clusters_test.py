"""A cluster is found in TF_CONFIG, SLURM's or Kubernetes' variables, or what is wrong is said."""

import json
import socket
import sys
import types

import pytest
import urllib3
from hypothesis import example, given
from hypothesis import strategies as st
from shimzoo import cli
from shimzoo.training import clusters

TWO = {"worker": ["a:1", "b:2"]}


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch):
    for name in ("TF_CONFIG", "SLURM_STEP_NODELIST", "JOB_COMPLETION_INDEX"):
        monkeypatch.delenv(name, raising=False)


def tf_config(cluster, role="worker", index=0):
    return json.dumps({"cluster": cluster, "task": {"type": role, "index": index}})


def test_tf_config_tells_roles_and_addresses(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", tf_config(TWO, index="1"))
    cluster = clusters.find("multi_worker")
    assert (cluster.role, cluster.index, cluster.address) == ("worker", 1, "b:2")
    assert (cluster.is_chief, cluster.num_workers, cluster.num_tasks) == (False, 2, 2)
    resolver = cluster.resolver()
    assert resolver.cluster_spec().as_dict() == TWO
    assert (resolver.task_type, resolver.task_id) == ("worker", 1)


@pytest.mark.parametrize(
    ("cluster", "role", "chief"),
    [(TWO, "worker", True), (TWO | {"chief": ["c:3"]}, "worker", False)],
)
def test_the_chief_writes_and_without_one_the_first_worker(monkeypatch, cluster, role, chief):
    monkeypatch.setenv("TF_CONFIG", tf_config(cluster, role))
    assert clusters.find("multi_worker").is_chief is chief


BROKEN = [
    ("{", "is not JSON"),
    ("[]", "no 'cluster'"),
    ('{"cluster": {}}', "no 'cluster'"),
    ('{"cluster": {"worker": ["a:1"]}}', "no 'task'"),
    (tf_config({"worker": "a:1"}), "no list of 'host:port' for 'worker'"),
    (tf_config({"worker": ["a"]}), "'a' for a worker, which is not 'host:port'"),
    (tf_config({"worker": ["a:99999"]}), "'a:99999'"),
    (tf_config({"worker": ["a:1", "a:1"]}), "'a:1' twice"),
    (tf_config(TWO, "chief"), "this is a 'chief', and its 'cluster' has worker"),
    (tf_config(TWO, ["worker"]), "this is a ['worker'], and its 'cluster' has worker"),
    (tf_config(TWO, {"worker": 0}), "this is a {'worker': 0}, and"),
    (tf_config(TWO, index=2), "worker number 2, and its 'cluster' has 0 to 1"),
    (tf_config(TWO, index=-1), "number -1"),
    (tf_config(TWO, index=[0]), "number [0]"),
    ("[" * 100_000, "is not JSON"),
    ("1" * 5000, "is not JSON"),
    (tf_config(TWO | {"ps": ["c:3"]}), "no use for one: its tasks are chief, worker"),
]


@pytest.mark.parametrize(("text", "message"), BROKEN)
def test_a_broken_tf_config_is_told_in_a_line(monkeypatch, text, message):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match=r"TF_CONFIG") as raised:
        clusters.find("multi_worker")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_command_with_a_broken_tf_config_writes_nothing(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("TF_CONFIG", "{")
    assert cli.main(["train", "--out", str(tmp_path / "run")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("shimzoo: error: TF_CONFIG is not JSON")
    assert not list(tmp_path.iterdir())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("a:1"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["cluster", "task", "worker", "type", "index"]), inner)
    ),
    max_leaves=12,
)


# Some parts are as they have to be, so that the others are looked at as well.
PLACES = st.tuples(
    st.just(TWO) | JSON,
    st.sampled_from(["worker", "chief"]) | JSON,
    st.integers(-1, 2) | st.sampled_from(["0", "1", "9" * 5000]) | JSON,
)


@given(JSON | PLACES.map(lambda place: json.loads(tf_config(*place))))
@example({"cluster": TWO, "task": {"type": ["worker"], "index": 0}})
def test_any_tf_config_is_a_cluster_or_a_line(values):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TF_CONFIG", json.dumps(values))
        try:
            cluster = clusters.find("multi_worker")
        except ValueError as error:
            cluster, line = None, str(error)
    if cluster is None:
        assert line.startswith("TF_CONFIG ")
        assert "\n" not in line
    else:
        assert cluster.address in cluster.tasks[cluster.role]


@pytest.mark.parametrize("text", [None, ""])
def test_without_a_cluster_it_is_said_how_to_make_one(text, monkeypatch):
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match=r"needs a cluster: set TF_CONFIG.*srun.*Kubernetes"):
        clusters.find("multi_worker")


@pytest.mark.parametrize("role", ["chief", "worker", "ps"])
def test_parameter_servers_need_all_three_roles(monkeypatch, role):
    cluster = {"chief": ["a:1"], "worker": ["b:1"], "ps": ["c:1"]}
    del cluster[role]
    monkeypatch.setenv("TF_CONFIG", tf_config(cluster, next(iter(cluster))))
    with pytest.raises(ValueError, match=f"has no {role}, and .* needs one or more of each"):
        clusters.find("parameter_server")


def test_a_port_that_is_taken_is_told(monkeypatch):
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("TF_CONFIG", tf_config({"worker": [f"localhost:{port}"]}))
        with pytest.raises(OSError, match=f"Port {port} of worker 0 is taken"):
            clusters.find("multi_worker").check_port_is_free()
    clusters.find("multi_worker").check_port_is_free()


def slurm(monkeypatch, **variables):
    values = {
        "SLURM_PROCID": "2",
        "SLURM_STEP_NUM_TASKS": "4",
        "SLURM_STEP_NODELIST": "n[1-2]",
        "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
        "SLURM_STEP_RESV_PORTS": "12000-12001",
        **variables,
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def test_slurm_tells_of_its_tasks(monkeypatch):
    slurm(monkeypatch, SLURMD_NODENAME="n2")
    cluster = clusters.find("multi_worker")
    assert cluster.tasks == {"worker": ("n1:12000", "n1:12001", "n2:12000", "n2:12001")}
    assert (cluster.role, cluster.index, cluster.origin) == ("worker", 2, "SLURM")
    cluster = clusters.find("parameter_server")
    assert [len(cluster.tasks[role]) for role in ("chief", "ps", "worker")] == [1, 1, 2]


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"SLURM_STEP_NUM_TASKS": "four"}, "SLURM_STEP_NUM_TASKS is 'four'"),
        ({"SLURM_STEP_NODELIST": "n[1"}, "no cluster of 4 tasks"),
        ({"SLURM_STEP_TASKS_PER_NODE": "1(x2)"}, "no cluster of 4 tasks"),
        (
            {"SLURM_STEP_NODELIST": "n[9-10]", "SLURMD_NODENAME": "n9", "SLURM_PROCID": "0"},
            "runs task 0 on n9, and TensorFlow looks for it on n10",
        ),
    ],
)
def test_a_slurm_step_that_tells_of_no_cluster(monkeypatch, variables, message):
    slurm(monkeypatch, **variables)
    with pytest.raises(ValueError, match=message):
        clusters.find("multi_worker")


class ConfigException(Exception):  # noqa: N818
    """As Kubernetes' client has it."""


class ApiException(Exception):  # noqa: N818
    """As Kubernetes' client has it."""

    reason = "Forbidden"


class Pods:
    """Kubernetes' API, as far as TensorFlow's resolver asks it: twelve pods of one job."""

    def list_pod_for_all_namespaces(self, label_selector):
        job, index = (label.partition("=")[2] for label in label_selector.split(","))
        assert job == "digits"
        pod = types.SimpleNamespace(
            metadata=types.SimpleNamespace(name=f"digits-{index}-x7"),
            status=types.SimpleNamespace(phase=self.phase, host_ip=f"10.0.0.{index}"),
        )
        return types.SimpleNamespace(items=[pod])


@pytest.fixture
def pods(monkeypatch):
    client = types.ModuleType("kubernetes")
    client.config = types.SimpleNamespace(
        load_incluster_config=lambda: None, ConfigException=ConfigException
    )
    client.client = types.SimpleNamespace(CoreV1Api=Pods, ApiException=ApiException)
    for name, module in (("kubernetes", client), ("kubernetes.config", client.config)):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "10")
    monkeypatch.setenv("JOB_COMPLETIONS", "12")
    monkeypatch.setenv("JOB_NAME", "digits")


def fail(error):
    def raise_it(*_, **__):
        raise error

    return raise_it


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ConfigException("Service host/port is not set."), "this is no pod of Kubernetes"),
        (ApiException("(403)\nReason: Forbidden\n"), "not tell of the job's pods (Forbidden)"),
        (urllib3.exceptions.HTTPError("no route"), "not tell of the job's pods (no route)"),
    ],
)
def test_a_kubernetes_that_can_not_be_asked_is_a_line(pods, monkeypatch, capsys, error, message):
    monkeypatch.setattr(sys.modules["kubernetes.config"], "load_incluster_config", fail(error))
    assert cli.main(["train", "--strategy", "multi_worker"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_without_kubernetes_client_it_is_said_how_to_install_it(pods, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    assert cli.main(["train", "--strategy", "multi_worker"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("not installed: pip install kubernetes, or set TF_CONFIG.")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"JOB_COMPLETIONS": "two"}, "JOB_COMPLETIONS is 'two', and has to be a number"),
        ({"JOB_COMPLETION_INDEX": "-1"}, "JOB_COMPLETION_INDEX is '-1'"),
        ({"JOB_COMPLETIONS": "10"}, "this is number 10, and JOB_COMPLETIONS is 10"),
    ],
)
def test_numbers_that_kubernetes_can_not_have_are_told(pods, monkeypatch, variables, message):
    monkeypatch.setattr(Pods, "phase", "Running", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message):
        clusters.find("multi_worker")


def test_pods_that_are_not_there_are_told(pods, monkeypatch):
    nothing = types.SimpleNamespace(items=[])
    monkeypatch.setattr(Pods, "list_pod_for_all_namespaces", lambda self, label_selector: nothing)
    with pytest.raises(ValueError, match=r"has 0 pods of job 'digits'.*JOB_COMPLETIONS is 12"):
        clusters.find("multi_worker")


def test_kubernetes_tells_of_a_jobs_pods_in_their_order(pods, monkeypatch):
    monkeypatch.setattr(Pods, "phase", "Running", raising=False)
    cluster = clusters.find("multi_worker")
    assert cluster.tasks["worker"] == tuple(f"10.0.0.{index}:8470" for index in range(12))
    assert cluster.address == "10.0.0.10:8470"


def test_pods_that_do_not_run_yet_are_told(pods, monkeypatch):
    monkeypatch.setattr(Pods, "phase", "Pending", raising=False)
    with pytest.raises(ValueError, match=r"not all running yet.*digits-0"):
        clusters.find("multi_worker")
    monkeypatch.delenv("JOB_NAME")
    with pytest.raises(ValueError, match="JOB_NAME have to be set"):
        clusters.find("multi_worker")
