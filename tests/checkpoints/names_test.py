"""TF1 names of variables, and what in a checkpoint is not the model's."""

import contextlib
import string

import keras
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from shimzoo import checkpoints, shim
from shimzoo.checkpoints.names import by_tf1_name, left_out_kind

NATIVE_TO_TF1 = {
    "kernel": "weights",
    "bias": "biases",
    "depthwise_kernel": "depthwise_weights",
    "pointwise_kernel": "pointwise_weights",
    "gamma": "gamma",
    "beta": "beta",
    "moving_mean": "moving_mean",
    "moving_variance": "moving_variance",
}
LEFT_OUT = {
    "Momentum": "optimizer slots",
    "RMSProp": "optimizer slots",
    "RMSProp_1": "optimizer slots",
    "Adam": "optimizer slots",
    "Adam_1": "optimizer slots",
    "RMSProp_2": "optimizer slots",
    "Adagrad": "optimizer slots",
    "Adadelta_1": "optimizer slots",
    "Ftrl": "optimizer slots",
    "ExponentialMovingAverage": "moving averages",
}

parts = st.text(string.ascii_letters + string.digits + "_.-", min_size=1, max_size=12)
suffixes = st.one_of(parts, st.sampled_from(sorted(NATIVE_TO_TF1)))
scopes = st.lists(st.one_of(parts, suffixes), max_size=4)


def native_variable(scope, suffix):
    with contextlib.ExitStack() as stack:
        for part in scope:
            stack.enter_context(keras.name_scope(part))
        return keras.Variable(0.0, name=suffix)


@given(scopes, suffixes)
def test_of_a_native_path_only_the_last_part_changes(scope, suffix):
    name = checkpoints.tf1_name(native_variable(scope, suffix))
    assert name == "/".join([*scope, NATIVE_TO_TF1.get(suffix, suffix)])


@given(scopes, suffixes)
def test_a_tf1_variable_keeps_its_name(scope, suffix):
    name = "/".join([*scope, suffix])
    assert checkpoints.tf1_name(shim.TrackedVariable(tf.Variable(0.0), name)) == name


@given(st.lists(st.tuples(parts, st.sampled_from(sorted(NATIVE_TO_TF1))), unique=True))
def test_different_native_paths_have_different_names(paths):
    variables = [native_variable([scope], suffix) for scope, suffix in paths]
    assert list(by_tf1_name(variables).values()) == variables


def test_two_variables_of_one_name_are_an_error():
    variables = [native_variable(["a"], "kernel"), native_variable(["a"], "weights")]
    with pytest.raises(ValueError, match=r"name a/weights \(paths a/kernel and a/weights\)"):
        by_tf1_name(variables)


@given(scopes, suffixes, st.sampled_from(sorted(LEFT_OUT)))
def test_what_training_adds_to_a_variable_is_left_out(scope, suffix, added):
    name = "/".join([*scope, suffix])
    assert left_out_kind(f"{name}/{added}", {name, f"{name}/{added}"}) == LEFT_OUT[added]


@given(scopes, parts, st.sampled_from(sorted(LEFT_OUT)))
def test_what_belongs_to_no_variable_is_not(scope, suffix, added):
    name = "/".join([*scope, suffix, added])
    assert left_out_kind(name, {name}) is None


@given(scopes, st.sampled_from(sorted(NATIVE_TO_TF1.values())))
def test_variables_are_not_left_out(scope, suffix):
    name = "/".join([*scope, suffix])
    assert left_out_kind(name, {name, *scope}) is None


@pytest.mark.parametrize("name", ["global_step", "train/global_step"])
def test_the_global_step_is_left_out(name):
    assert left_out_kind(name, {name}) == "global step"


@pytest.mark.parametrize("name", ["beta1_power", "beta2_power", "train/beta1_power"])
def test_adams_counters_are_left_out(name):
    assert left_out_kind(name, {name}) == "optimizer counters"
