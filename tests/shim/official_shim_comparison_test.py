"""What the official shim, tf_keras', makes of the same TF1 code, measured, and what this one does.

The official one runs in a process of its own, see `official_idioms.py`.
"""

import functools
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from shimzoo import shim

shim.install()

from shimzoo.tests.shim import idiom_runs, shim_facts  # noqa: E402  (TF1 code, after install)
from shimzoo.tests.shim.tf1_idioms import IDIOMS  # noqa: E402

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tf_keras") is None,
    reason="the official shim is in tf_keras, which is not installed",
)

SHIM = idiom_runs.Shim(
    keras.Layer,
    shim.track_tf1_style_variables,
    shim.DeterministicRandomTestTool,
    lambda layer: {variable.path: variable.value for variable in layer.weights},
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("official")
    program = Path(__file__).with_name("official_idioms.py")
    subprocess.run(
        [sys.executable, "-W", "ignore", str(program), str(folder)],
        env={**os.environ, "TF_USE_LEGACY_KERAS": "1"},
        check=True,
        timeout=300,
    )
    return folder


@pytest.fixture(scope="module")
def official_idioms(folder):
    """By idiom and run, what came out."""
    results: dict[tuple[str, str], idiom_runs.Results] = {}
    with np.load(folder / "idioms.npz") as arrays:
        for path, array in arrays.items():
            name, run, key = path.split("/", 2)
            results.setdefault((name, run), {})[key] = array
    return results


@pytest.fixture(scope="module")
def official(folder):
    return json.loads((folder / "facts.json").read_text())


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    facts = shim_facts.facts(SHIM, keras, tmp_path_factory.mktemp("ours"))
    return json.loads(json.dumps(facts))


@functools.cache
def decorated(name):
    return idiom_runs.run_decorated(IDIOMS[name], SHIM, lambda f: f)


# What the official shim answers to the idioms that it does not run, by the runs that fail.
NO_NAMES = "Tensor.name is undefined when eager execution is enabled"
NO_LOSSES = "Inputs must be an iterable of at least one Tensor"
NO_VARIABLES_IN_COLLECTIONS = r"None values not supported|value \(None\)|at least one Tensor"
NO_TENSORS_AS_INITIALIZERS = "out of scope"
FAILURES = {
    ("bert", "eager"): NO_NAMES,
    ("pose_net", "eager"): NO_LOSSES,
    ("text_detector", "eager"): "Attr bad_color has unhandled type",
    ("collected_net", "eager"): "'NoneType' object is not subscriptable",
    ("averaged_policy", "eager"): NO_VARIABLES_IN_COLLECTIONS,
    ("averaged_policy", "function"): NO_VARIABLES_IN_COLLECTIONS,
    ("graph_convolution", "eager"): NO_VARIABLES_IN_COLLECTIONS,
    ("graph_convolution", "function"): NO_VARIABLES_IN_COLLECTIONS,
    ("progressive_generator", "function"): NO_TENSORS_AS_INITIALIZERS,
    ("siamese", "function"): NO_TENSORS_AS_INITIALIZERS,
    ("wide_and_deep", "eager"): "`partitioner` arg for `get_variable` is unsupported",
    ("wide_and_deep", "function"): "`partitioner` arg for `get_variable` is unsupported",
    ("bare_variables", "function"): "only supports singleton tf.Variables created on the first",
}
# What it runs with other results than TF1, and which: patterns of keys.
OTHERS = {
    # In eager calls the regularization losses are not in their collection, which the code sums.
    ("facenet", "eager"): r"outputs/total_loss|gradients/.*/weights",
    # Keras' name of the layer is in the name of the end point.
    ("collected_net", "function"): r"(outputs|evaluation)/.*/pool1",
    # No variables in the collections, so none is copied into the target network.
    ("deep_q", "eager"): r"values/deepq/target_q_func/.*|evaluation/(chosen|error)",
    ("deep_q", "function"): r"values/deepq/target_q_func/.*|evaluation/(chosen|error)",
    # New variables in every call, none of them tracked.
    ("bare_variables", "eager"): r".*",
}


@pytest.mark.parametrize("run", ["eager", "function"])
@pytest.mark.parametrize("name", IDIOMS)
def test_g01_the_same_variables_and_numbers_where_the_official_shim_runs_an_idiom(
    name, run, official_idioms
):
    theirs = official_idioms[name, run]
    if failure := FAILURES.get((name, run)):
        assert re.search(failure, str(theirs["failure"]))
        return
    expected, found = comparable(decorated(name)), comparable(theirs)
    other = OTHERS.get((name, run))
    if other:
        assert any(differ(found, expected, key) for key in expected if re.fullmatch(other, key))
        expected, found = without(expected, other), without(found, other)
    idiom_runs.assert_same(found, expected)


def comparable(results):
    """Results without order, collections and random values at first, which have their own tests."""
    flags = dict(zip(results["names"], results["trainable"], strict=True))
    shapes = dict(zip(results["names"], results["shapes"], strict=True))
    names = np.array(sorted(flags))
    apart = ("names", "trainable", "shapes", "initial/", "collections/")
    kept = {key: value for key, value in results.items() if not key.startswith(apart)}
    return {
        **kept,
        "names": names,
        "trainable": np.array([flags[name] for name in names]),
        "shapes": np.array([shapes[name] for name in names]),
    }


def differ(found, expected, key):
    if key not in found or found[key].shape != expected[key].shape:
        return True
    return found[key].dtype.kind == "f" and not np.allclose(found[key], expected[key], atol=1e-3)


def without(results, pattern):
    return {key: value for key, value in results.items() if not re.fullmatch(pattern, key)}


@pytest.mark.parametrize("name", ["bert", "lstm", "vggish", "facenet", "yolo", "policy", "deep_q"])
def test_g01_weights_are_in_the_order_of_tf1_only_here(name, official_idioms):
    run = "function" if (name, "eager") in FAILURES else "eager"
    theirs, here = official_idioms[name, run]["names"], decorated(name)["names"]
    assert set(theirs) == set(here)
    assert list(theirs) != list(here)


def test_g01_the_order_of_weights(official, ours):
    assert ours["order_of_weights"] == ["b", "c", "a"]  # As they were made.
    assert official["order_of_weights"] == ["a", "c", "b"]  # Trainable ones first, by name.


def test_g01_tensors_as_initializers(official, ours):
    twos = [[2.0] * 3] * 2
    assert ours["tensor_initializer"] == [twos, twos]
    assert official["tensor_initializer"][0] == twos
    assert "out of scope" in official["tensor_initializer"][1]


def test_g01_names_of_eager_tensors(official, ours):
    assert ours["names_of_tensors"] == ["net/tensor:0", "net/tensor"]
    name, op = official["names_of_tensors"]
    assert "Tensor.name is undefined when eager execution is enabled" in name
    assert "Tensor.op is undefined when eager execution is enabled" in op


def test_g01_dimensions_with_a_value(official, ours):
    assert ours["dimension_values"] == [[3.0] * 3] * 2
    assert "'int' object has no attribute 'value'" in official["dimension_values"]


def test_g01_variables_that_the_forward_pass_makes_itself(official, ours):
    ones = [[1.0] * 3] * 2
    found = ours["bare_variables"]
    assert found == {"tracked": ["v"], "found again": True, "in a function": ones}
    found = official["bare_variables"]
    assert (found["tracked"], found["found again"]) == ([], False)
    assert "only supports singleton tf.Variables" in found["in a function"]


def test_g01_trainable_is_what_is_so_in_training_whatever_the_first_call(official, ours):
    everything = sorted(decorated("vggish")["names"])
    head = [name for name in everything if name.startswith("mymodel/")]
    assert ours["trained_variables True"] == ours["trained_variables False"] == everything
    assert official["trained_variables True"] == everything
    assert official["trained_variables False"] == head


def test_g02_regularizers_of_scopes(official, ours):
    assert ours["regularizers_of_scopes"] == official["regularizers_of_scopes"] == [3.0]


def test_g02_losses_of_a_module(official):
    assert official["losses_of_a_module"] == []  # Here `shim.regularization_losses` gives them.


def test_g03_a_keras_file(official, ours):
    assert ours["keras_file"] == {"variables": 1, "same outputs": True}
    assert official["keras_file"] == {"variables": 1, "same outputs": False}


def test_g04_unnamed_layers_at_the_root(official, ours):
    first = ["dense/kernel", "dense/bias"]
    assert ours["unnamed_layers_at_the_root"] == [first] * 3
    numbers_of_variables = [len(names) for names in official["unnamed_layers_at_the_root"]]
    assert numbers_of_variables == [2, 4, 6]


def test_g04_layers_are_keras_layers(official, ours):
    assert not ours["layers_are_keras_layers"]
    assert official["layers_are_keras_layers"]


def test_g06_reuse_of_what_does_not_exist(official, ours):
    assert "Variable net/missing does not exist" in ours["reuse_of_what_does_not_exist"]
    assert official["reuse_of_what_does_not_exist"] == [[1.0] * 3] * 2


def test_g06_partitioners(official, ours):
    assert ours["partitioned"] == [[1.0] * 3] * 2
    assert "`partitioner` arg for `get_variable` is unsupported" in official["partitioned"]


def test_g07_the_first_call_on_two_replicas(official, ours):
    assert ours["on_two_replicas"] == official["on_two_replicas"] == ["MirroredVariable"]


def test_g08_layers_of_keras_3(official, ours):
    assert ours["created_layers"] == {"runs": True, "tracked": 2}
    assert official["created_layers"] == {"runs": True, "tracked": 0}


def test_g09_the_enclosing_scope_prefixes_the_names(official, ours):
    assert ours["nested_names"] == official["nested_names"] == ["outer/v"]


def test_g10_a_template_in_functions_and_eagerly_in_turns(official, ours):
    ones = [[1.0] * 3] * 2
    assert ours["template_in_turns"] == [ones] * 3
    function, eager, _ = official["template_in_turns"]
    assert function == ones
    assert "'SymbolicTensor' object has no attribute 'numpy'" in eager  # The function's graph.


def test_g11_collections(official, ours):
    """By collection: what the second call finds of itself, what it leaves in the global graph."""
    of_tensorflow = {"variables", "regularization_losses", "losses"}
    assert ours["collections"] == {key: [1, 0] for key in (*of_tensorflow, "end_points")}
    assert {key: official["collections"][key] for key in of_tensorflow} == {
        key: [0, 0] for key in of_tensorflow
    }
    assert official["collections"]["end_points"] == [2, 2]


def test_g12_g18_what_is_a_snippet_in_a_guide(official):
    assert not {"record_scope", "catch_variable_creations"}.intersection(official["offered"])


def test_g14_the_tool_reaches_keras_initializers(official, ours):
    assert ours["seeded_initializers"]
    assert not official["seeded_initializers"]


def test_g16_a_tf1_saver_restores(official, ours):
    expected = [[1.0, 2.0, 3.0]] * 2
    assert ours["tf1_checkpoint"] == official["tf1_checkpoint"] == expected


def test_g17_slim_as_released(official):
    assert official["slim_as_released"] == "No module named 'tf_keras.legacy_tf_layers'"


def test_g19_a_function_inside_of_two_layers(official, ours):
    assert all("was asked for in the tf.function" in error for error in ours["function_inside"])
    assert official["function_inside"] == [["v"], []]  # The second layer trains the first one's.
