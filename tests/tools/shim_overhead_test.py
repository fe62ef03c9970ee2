"""The benchmark `shim-overhead`: the driver, its contenders, and what it reports.

No test asserts a time: what the shim may cost shows in the ops it traces and in what it leaves
behind.
"""

import collections
import contextlib
import csv
import os
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import cli, shim
from shimzoo.tools.benchmark import (
    results_file,
    shim_overhead,
    shim_overhead_report,
    shim_overhead_worker,
)
from shimzoo.tools.benchmark.driver import Contender, ContenderError, interleaved
from shimzoo.tools.benchmark.plain_resnet import PlainResNet
from shimzoo.tools.benchmark.summary import Ratio, Summary

shim.install()

from shimzoo.tools.benchmark import slim_models  # noqa: E402  (TF1 code, after install)

TINY = """
import os, sys, time
from shimzoo.tools.benchmark.worker import serve, timed

log = open(sys.argv[1], "a")

def tick():
    print(sys.argv[2], file=log, flush=True)
    print("a library's chatter")
    return float(sys.argv[3])

def die():
    sys.stderr.write("no more memory\\n")
    sys.stderr.flush()
    os._exit(7)

def fail():
    raise ValueError("no such thing")

sizes = {"memory_mib": 1.5, "collection_entries": 2, "graph_ops": 3}
tasks = {
    "tick": tick,
    "timed": timed(lambda: time.sleep(0.01)),
    "die": die,
    "fail": fail,
    "many_calls": lambda: {"before": sizes, "after": sizes},
}
serve(lambda: tasks | dict.fromkeys(sys.argv[4:], tick))
"""


@pytest.fixture
def start(tmp_path):
    """Starts tiny contenders: `start(name, value)`, each of which answers "tick" with its value."""
    with contextlib.ExitStack() as stack:

        def start_one(name, value=1.0, program=TINY):
            command = [sys.executable, "-c", program, str(tmp_path / "ticks"), name, str(value)]
            command += shim_overhead_report.TIMES
            contender = stack.enter_context(Contender.started(name, command, os.environ))
            contender.wait_until_ready()
            return contender

        yield start_one


def test_each_round_times_every_contender_once_in_an_order_that_rotates(start, tmp_path):
    contenders = [start("a", 1.0), start("b", 2.0), start("c", 3.0)]
    advanced = []
    samples = interleaved(contenders, "tick", 3, 1, lambda: advanced.append(1))
    assert samples == {"a": [1.0] * 3, "b": [2.0] * 3, "c": [3.0] * 3}
    assert len(advanced) == 12
    order = "".join((tmp_path / "ticks").read_text().split())
    assert order == "cab" + "abc" + "bca" + "cab"


def test_a_timed_task_tells_milliseconds(start):
    assert start("a").ask("timed") >= 10


def test_a_contender_that_dies_is_one_clear_line(start):
    with pytest.raises(ContenderError) as error:
        start("a").ask("die")
    assert str(error.value) == (
        "Contender a ended with exit code 7 at die. Its last words: no more memory"
    )


def test_a_contender_that_is_dead_is_one_clear_line(start):
    contender = start("a")
    for _ in range(2):
        with pytest.raises(ContenderError, match="ended with exit code 7"):
            contender.ask("die")


def test_a_contender_that_fails_is_one_clear_line(start):
    with pytest.raises(ContenderError, match="a failed at fail: ValueError: no such"):
        start("a").ask("fail")


def test_a_contender_that_cannot_start_is_one_clear_line(start):
    with pytest.raises(ContenderError, match=r"exit code 1 at ready\..* No module named 'absent'"):
        start("a", program="import absent")


def test_no_contender_outlives_the_driver():
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with Contender.started("a", command, os.environ) as contender:
        pass
    with pytest.raises(ValueError, match="closed file"):
        contender.ask("anything")


def test_summaries_are_medians_and_quartiles():
    assert Summary.of([4.0, 1.0, 3.0, 2.0, 5.0]) == Summary(3.0, 2.0, 4.0)
    # Both drift to double; in each round the first takes half of the second's time.
    assert Ratio.paired([1.0, 2.0, 1.5], [2.0, 4.0, 3.0]) == Ratio(0.5, 0.5, 0.5)
    assert Ratio.paired([1.0], [2.0]) == Ratio(0.5, 0.5, 0.5)


def test_a_ratios_interval_narrows_with_the_rounds():
    random = np.random.default_rng(0)
    few, many = (
        Ratio.paired(random.normal(1.0, 0.1, rounds), np.ones(rounds)) for rounds in (20, 2000)
    )
    for ratio in (few, many):
        assert ratio.low < ratio.median < ratio.high
        assert ratio.low < 1.0 < ratio.high
    assert many.high - many.low < 0.3 * (few.high - few.low)


def test_rows_hold_the_shim_against_each_contender():
    samples = {"shim": [1.0, 3.0], "official_shim": [1.6, 4.0], "plain": [1.0, 2.0]}
    shim, official, plain = shim_overhead.time_rows("eager_inference", samples)
    assert (shim.median, shim.ratio_median, shim.outcome) == (2.0, None, "")
    assert (official.median, official.ratio_median) == (2.8, 0.6875)
    assert (official.target, official.outcome) == (0.6, "missed")
    assert (plain.ratio_median, plain.outcome) == (1.25, "")


@pytest.mark.parametrize(
    ("shim_times", "outcome"),
    [([1.0, 1.0, 1.0], "ok"), ([1.1, 1.2, 1.3], "missed"), ([0.9, 1.1, 1.3], "unclear")],
)
def test_a_ratio_above_its_target_is_missed_where_the_rounds_tell_it_apart(shim_times, outcome):
    samples = {"shim": shim_times, "plain": [1.0] * 3}
    (_, plain) = shim_overhead.time_rows("step_forward", samples)
    assert (plain.target, plain.outcome) == (1.02, outcome)


@pytest.fixture
def rows(start):
    contenders = [start("shim", 1.0), start("official_shim", 2.0), start("plain", 4.0)]
    ignored = [].append
    return shim_overhead.measured(contenders, 2, ignored, lambda: None)


FACTS = {name: {"tensorflow": "1", "batch_size": 2} for name in ("shim", "official_shim", "plain")}


def test_the_csv_file_has_a_line_for_each_contender_and_measure(rows, tmp_path):
    path = tmp_path / "results.csv"
    results_file.write_csv(path, shim_overhead_report.csv_lines(rows, FACTS))
    with path.open() as file:
        lines = list(csv.DictReader(file))
    measures = [*shim_overhead_report.TIMES] * 3 + [*shim_overhead_report.GROWTHS] * 2
    assert sorted(line["measure"] for line in lines) == sorted(measures)
    line = next(line for line in lines if line["contender"] == "official_shim")
    assert list(line) == [
        *["contender", "measure", "rounds", "median", "q1", "q3"],
        *["ratio_median", "ratio_low", "ratio_high", "target", "outcome"],
        *["tensorflow", "batch_size", "date", "git_commit", "cpu", "cores", "threads"],
    ]
    assert (line["median"], line["ratio_median"], line["outcome"]) == ("2.0", "0.5", "ok")
    assert int(line["cores"]) >= 1
    assert line["cpu"]


def test_the_table_fits_a_terminal_and_says_what_is_left_out(rows):
    console = shim_overhead.rich.console.Console(width=80)
    with console.capture() as capture:
        console.print(shim_overhead_report.table(rows, {"keras_applications": "it is not there"}))
    text = capture.get()
    assert "…" not in text
    assert "keras_applications is left out: it is not there" in text
    assert [line.split() for line in text.splitlines()][2:4] == [
        ["shim", "1.0", "1.0..1.0"],
        ["official_shim", "2.0", "2.0..2.0", "0.500", "0.500..0.500", "≤", "0.6", "ok"],
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["shim-overhead", "--rounds", "0"], ["rounds=0", "1 or more"]),
        (["shim-overhead", "--rounds", "few"], ["--rounds", "'few'"]),
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
    """Slim's ResNet under the shim, and the plain one with its weights."""
    shimmed = slim_models.slim_resnet(keras.Layer, shim.track_tf1_style_variables)(10)
    shimmed(IMAGES)
    plain = PlainResNet(10)
    random = np.random.default_rng(1)
    assert {variable.path for variable in shimmed.weights} == set(plain.by_name)
    for variable in shimmed.weights:
        if variable.path.rpartition("/")[2] in ("gamma", "beta", "moving_mean", "moving_variance"):
            variable.assign(variable + random.uniform(-0.2, 0.2, variable.shape))
        plain.by_name[variable.path].assign(variable)
    return shimmed, plain


def test_the_plain_contender_computes_what_the_shimmed_one_does(pair):
    shimmed, plain = pair
    for ours, theirs in zip(shimmed(IMAGES), plain(IMAGES), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    assert np.ptp(plain(IMAGES)[0]) > 0.1


def test_the_plain_contender_trains_as_the_shimmed_one_does(pair):
    shimmed, plain = pair
    for ours, theirs in zip(
        shimmed(IMAGES, training=True), plain(IMAGES, training=True), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    for variable in shimmed.non_trainable_variables:
        np.testing.assert_allclose(variable, plain.by_name[variable.path], rtol=1e-5, atol=1e-5)


def traced_ops(step):
    graph = tf.function(step).get_concrete_function(IMAGES).graph
    return collections.Counter(op.type for op in graph.get_operations())


@pytest.mark.parametrize("training", [False, True])
def test_the_shim_traces_the_ops_of_the_plain_model_and_no_more(pair, training):
    shimmed, plain = (
        traced_ops(lambda images, model=model: model(images, training=training)) for model in pair
    )
    assert shimmed == plain


def test_the_gradients_take_the_ops_of_the_plain_models_and_no_more(pair):
    def step(model, variables):
        def gradients(images):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(model(images, training=True)[0] ** 2)
            return tape.gradient(loss, variables)

        return traced_ops(gradients)

    shimmed, plain = pair
    ops = step(shimmed, [variable.value for variable in shimmed.trainable_variables])
    assert ops["Conv2DBackpropFilter"] == 54
    assert ops == step(plain, plain.trainable_variables)


def test_calls_of_a_small_layer_leave_nothing_in_the_global_graph():
    layer = slim_models.small_slim_net(keras.Layer, shim.track_tf1_style_variables)()
    sizes = shim_overhead_worker.left_behind_by(layer, warm_up_calls=1, calls=100)
    for name in ("collection_entries", "graph_ops"):
        assert sizes["after"][name] == sizes["before"][name]
    assert sizes["after"]["memory_mib"] > 10


@pytest.mark.parametrize("name", shim_overhead.CONTENDERS)
def test_every_contender_answers_all_that_it_is_asked_for(name):
    pytest.importorskip("tf_keras")
    with shim_overhead.started(name) as contender:
        contender.wait_until_ready()
        assert all(contender.ask(measure) > 0 for measure in shim_overhead_report.TIMES)
        facts = contender.ask("facts")
    assert facts["tensorflow"] == tf.__version__
    assert facts["keras"].startswith("tf_keras " if name == "official_shim" else "keras 3.")
