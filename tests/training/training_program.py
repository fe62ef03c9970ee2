"""Training steps as XLA gets them."""

import dataclasses

import keras
import tensorflow as tf
from shimzoo.training import DEMO, training_model

BATCH = 4
CLASSES = 10
SETTINGS = {
    "precision": "mixed_bfloat16",
    "optimizer": "rmsprop",
    "label_smoothing": 0.1,
    "clip_global_norm": 1.0,
    "ema_decay": 0.999,
    "dropout_keep_prob": None,  # The model's own.
}


def program_of(model, images, num_classes):
    """The training step as XLA gets it, text."""
    labels, weights = tf.range(len(images)) % num_classes, tf.ones(len(images))
    # Metrics make their variables when they are first used, which XLA can't compile.
    model.compute_metrics(images, labels, tf.zeros([len(images), num_classes]), weights)
    step = tf.function(lambda *batch: model.train_step(batch), jit_compile=True)
    return step.experimental_get_compiler_ir(images, labels, weights)(stage="hlo")


def of_the_zoo(name, stage, size):
    """That of a version of a model, and how many variables the step trains."""
    config = dataclasses.replace(
        DEMO.config, model=name, stage=stage, image_size=size, batch_size=BATCH, **SETTINGS
    )
    accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
    model = training_model.create_training_model(config, CLASSES, 1000, accuracy)
    images = tf.zeros([BATCH, size, size, 3])
    return program_of(model, images, CLASSES), len(model.trainable_variables)
