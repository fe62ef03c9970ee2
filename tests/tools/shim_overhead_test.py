"""The benchmark `shim-overhead`: its contenders, and what it reports.

No test asserts a time: what the shim may cost shows in the ops it traces and in what it leaves
behind.
"""

import collections
import contextlib
import csv

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import checkpoints, cli, models, shim
from shimzoo.tools.benchmark import rows, shim_overhead, shim_overhead_worker
from shimzoo.tools.benchmark.plain_resnet import PlainResNet
from shimzoo.tools.benchmark.throughput_settings import Settings

shim.install()

from shimzoo.tools.benchmark import slim_models, slim_session  # noqa: E402  (TF1 code, after install)

MOBILENET = "mobilenet_v1_0.25_128"
STAGES = set(models.STAGES)


def measured(path, *arguments):
    arguments = ["shim-overhead", *arguments, "--rounds", "1", "--out", str(path)]
    assert cli.main(["benchmark", *arguments]) == 0
    with path.open() as file:
        return list(csv.DictReader(file))


def values(lines, measure):
    return {
        (line["contender"], line["against"]): float(line["median"])
        for line in lines
        if line["measure"] == measure and line["median"]
    }


@pytest.mark.large
def test_a_model_that_others_do_not_have_is_measured_in_its_stages(tmp_path, monkeypatch):
    lines = measured(tmp_path / "x.csv", "--model", MOBILENET, "--image-size", "32")
    contenders = STAGES | {"keras_applications"}
    for measure in (*shim_overhead.TIMES, "memory", "graph_ops"):
        found = values(lines, measure)
        assert {name for name, against in found if not against} == contenders
        assert {against for name, against in found if against} == contenders - {"shimmed"}
        assert all(value > 0 for value in found.values())
    for measure in ("collections_growth", "global_ops_growth"):
        assert values(lines, measure) == {("shimmed", ""): 0.0}
    notes = {line["contender"]: line["note"] for line in lines if not line["median"]}
    assert notes == {
        "official_shim": f"tf_slim.nets has no {MOBILENET}",
        "tf1_session": f"tf_slim.nets has no {MOBILENET}",
        "plain": "the bare ops are those of resnet_v1_50",
    }
    for line in lines:
        assert (line["model"], line["batch_size"], line["image_size"]) == (MOBILENET, "2", "32")
        assert line["stage"] == (line["contender"] if line["contender"] in STAGES else "")
        assert line["jit_compile"] == str(line["measure"] == "step_xla")
        if line["median"]:
            assert line["tensorflow"] == tf.__version__
    by_growth = {line["measure"]: line for line in lines if line["contender"] == "shimmed"}
    assert by_growth["collections_growth"]["outcome"] == "ok"


@pytest.mark.large
def test_a_net_of_tf_slim_has_all_contenders(tmp_path):
    pytest.importorskip("tf_keras")
    lines = measured(tmp_path / "x.csv", "--image-size", "32")
    everyone = set(shim_overhead.CONTENDERS)
    for measure in ("tracing", "step_inference", "step_training", "memory", "graph_ops"):
        assert {name for name, _ in values(lines, measure)} == everyone
    for measure in ("eager_inference", "eager_training", "step_xla"):
        assert {name for name, _ in values(lines, measure)} == everyone - {"tf1_session"}
    keras_of = {line["contender"]: line["keras"] for line in lines}
    assert keras_of["official_shim"].startswith("tf_keras ")
    assert keras_of["shimmed"].startswith("keras 3.")


@pytest.mark.parametrize(
    ("model", "size"),
    [("resnet_v1_50", 64), (MOBILENET, 64), ("inception_v3", 299), ("inception_resnet_v2", 299)],
)
def test_images_are_small_where_the_model_takes_small_ones(model, size):
    assert shim_overhead.default_image_size(model) == size


def test_who_can_not_take_part_says_why(monkeypatch):
    everyone = shim_overhead.CONTENDERS
    monkeypatch.setattr(shim_overhead.importlib.util, "find_spec", lambda name: None)
    why = {name: shim_overhead.hindrance(name, "resnet_v1_50") for name in everyone}
    assert {name for name, reason in why.items() if reason} == {"official_shim"}
    assert why["official_shim"] == "not installed: pip install tf-keras"
    assert shim_overhead.hindrance("keras_applications", "inception_v1") == (
        "keras.applications has no counterpart of inception_v1"
    )


def test_ctrl_c_reports_what_was_measured(capsys, tmp_path, monkeypatch):
    def interrupted(measuring, rounds):
        measuring._samples["eager_inference"] = {"shimmed": [1.0, 3.0], "plain": [2.0]}
        raise KeyboardInterrupt

    monkeypatch.setattr(shim_overhead.ShimOverhead, "measure", interrupted)
    out = tmp_path / "x.csv"
    assert cli.main(["benchmark", "shim-overhead", "--out", str(out)]) == 130
    with out.open() as file:
        found = values(list(csv.DictReader(file)), "eager_inference")
    assert found == {("shimmed", ""): 2.0, ("shimmed", "plain"): 0.5, ("plain", ""): 2.0}
    assert "interrupted before it began: this was measured so far" in capsys.readouterr().out


def test_targets_hold_for_the_net_and_the_size_that_they_are_of():
    row = rows.Row.ratio("shimmed", "step_inference", [1.0] * 5, "plain", [2.0] * 5)
    at_64 = {"model": "resnet_v1_50", "image_size": 64, "batch_size": 2, "threads": 2}
    others = {"image_size": 224, "threads": 1, "gpu": "NVIDIA", "options": "x=1"}
    for facts, outcome in (
        (at_64, "ok"),
        *(({**at_64, name: value}, "") for name, value in others.items()),
    ):
        lines = rows.lines([row], "shim-overhead", {"shimmed": facts})
        [judged] = rows.judged([row], lines)
        assert judged.outcome == outcome


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["shim-overhead", "--rounds", "0"], ["rounds=0", "1 or more"]),
        (["shim-overhead", "--rounds", "few"], ["--rounds", "'few'"]),
        (["shim-overhead", "--model", "resnet_v1_51"], ["did you mean resnet_v1_50"]),
        (["shim-overhead", "--image-size", "0"], ["image_size=0", "1 or more"]),
        (["shim-overhead", "--out", "absent/x.csv"], ["absent/x.csv", "No such file"]),
        (["shim-overhead", "--out", "."], ["'.'", "Is a directory"]),
        (["shimoverhead"], ["'shimoverhead'", "'shim-overhead'"]),
        ([], ["Missing command"]),
    ],
)
def test_bad_input_is_refused_in_one_line(capsys, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["benchmark", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("shimzoo: error: ")
    assert err.count("\n") == 1
    assert all(word in err for word in words)
    assert not list(tmp_path.iterdir())


IMAGES = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype("float32")


@pytest.fixture(scope="module")
def pair():
    """The zoo's shimmed ResNet, and the plain one with its weights."""
    shimmed = models.create("resnet_v1_50", "shimmed", num_classes=10, input_size=64)
    plain = PlainResNet(10)
    random = np.random.default_rng(1)
    names = {checkpoints.tf1_name(variable): variable for variable in shimmed.weights}
    assert set(names) == set(plain.by_name)
    for name, variable in names.items():
        if name.rpartition("/")[2] in ("gamma", "beta", "moving_mean", "moving_variance"):
            variable.assign(variable + random.uniform(-0.2, 0.2, variable.shape))
        plain.by_name[name].assign(variable)
    return shimmed, plain


def logits_of(plain):
    """As the contender calls it."""
    return lambda images, training=False: tf.squeeze(plain(images, training)[0], [1, 2])


def test_the_plain_contender_computes_what_the_shimmed_one_does(pair):
    shimmed, plain = pair
    expected = logits_of(plain)(IMAGES)
    np.testing.assert_allclose(shimmed(IMAGES), expected, rtol=1e-5, atol=1e-5)
    assert np.ptp(expected) > 0.1


def test_the_plain_contender_trains_as_the_shimmed_one_does(pair):
    shimmed, plain = pair
    expected = logits_of(plain)(IMAGES, training=True)
    np.testing.assert_allclose(shimmed(IMAGES, training=True), expected, rtol=1e-5, atol=1e-5)
    for variable in shimmed.non_trainable_variables:
        name = checkpoints.tf1_name(variable)
        np.testing.assert_allclose(variable, plain.by_name[name], rtol=1e-5, atol=1e-5)


def traced_ops(step):
    graph = tf.function(step).get_concrete_function(IMAGES).graph
    return collections.Counter(op.type for op in graph.get_operations())


@pytest.mark.parametrize("training", [False, True])
def test_the_shim_traces_the_ops_of_the_plain_model_and_no_more(pair, training):
    shimmed, plain = pair
    ops = traced_ops(lambda images: shimmed(images, training=training))
    assert ops["Conv2D"] == 54
    assert ops == traced_ops(lambda images: logits_of(plain)(images, training))


def test_a_training_step_takes_the_ops_of_the_plain_models_and_no_more(pair):
    def ops(logits, variables):
        model = shim_overhead_worker.Model(logits, lambda: variables)
        step = shim_overhead_worker._training_step(model)
        labels = tf.zeros([2], tf.int32)
        graph = step.get_concrete_function(tf.constant(IMAGES), labels).graph
        return collections.Counter(op.type for op in graph.get_operations())

    shimmed, plain = pair
    ours = ops(
        lambda images, training: shimmed(images, training=training),
        [variable.value for variable in shimmed.trainable_variables],
    )
    assert ours["Conv2DBackpropFilter"] == 54
    assert ours["ResourceApplyKerasMomentum"] == len(plain.trainable_variables)
    assert ours == ops(logits_of(plain), plain.trainable_variables)


def test_calls_of_a_small_layer_leave_nothing_in_the_global_graph():
    layer = slim_models.small_slim_net(keras.Layer, shim.track_tf1_style_variables)()
    sizes = shim_overhead_worker.left_behind_by(layer, warm_up_calls=1, calls=100)
    for name in ("collections_growth", "global_ops_growth"):
        assert sizes["after"][name] == sizes["before"][name]
    assert sizes["after"]["memory_growth"] > 10


class Answering:
    """A contender that answers at once, and notes what it was asked for."""

    def __init__(self, name, asked):
        self.name, self.asked = name, asked

    def ask(self, task):
        self.asked.append((self.name, task))
        return {"facts": {}, "many_calls": {"before": {}, "after": {}}}.get(task, 1.0)


@pytest.fixture
def run_at_once(monkeypatch):
    """A run of contenders that answer at once, and what they were asked for."""
    asked = []
    monkeypatch.setattr(
        shim_overhead,
        "started",
        lambda name, settings: contextlib.nullcontext(Answering(name, asked)),
    )
    monkeypatch.setattr(shim_overhead, "hindrance", lambda name, model: None)
    run = shim_overhead.ShimOverhead(Settings(model=MOBILENET, batch_size=1, image_size=32))
    run.measure(2)
    return run, asked


def test_memory_is_taken_before_graphs_are_traced_again(run_at_once):
    _, asked = run_at_once
    for name in shim_overhead.CONTENDERS:
        tasks = [task for asked_one, task in asked if asked_one == name]
        assert tasks.index("step_training") < tasks.index("memory") < tasks.index("tracing")


def test_tracing_is_not_compared_with_a_graph_that_makes_its_variables(run_at_once):
    run, _ = run_at_once
    others = {
        measure: {row.against for row in run.rows() if row.measure == measure and row.against}
        for measure in shim_overhead.TIMES
    }
    everyone = set(shim_overhead.CONTENDERS) - {"shimmed"}
    assert others["step_inference"] == everyone
    assert others["tracing"] == others["eager_inference"] == everyone - {"tf1_session"}


def test_a_sessions_ops_are_those_that_a_step_runs():
    steps = slim_session.SlimSteps(Settings(model="resnet_v1_50", batch_size=1, image_size=32))
    steps.build("inference")
    session, op = steps._running["inference"]
    whole = op.graph.as_graph_def()
    needed = tf.compat.v1.graph_util.extract_sub_graph(whole, [op.name]).node
    assert steps.graph_ops("inference") == len(needed) < len(whole.node)
    assert not {node.op for node in needed} & {"AssignVariableOp", "RandomUniform"}
    steps.build("inference")
    with pytest.raises(RuntimeError, match="closed Session"):
        session.run(op)
