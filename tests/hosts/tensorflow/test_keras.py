"""Keras 3: layers, losses and training with our functions, beside the same model written natively."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from fwddiff import HostError, fwddiff


@fwddiff
def swish(x, sharpness):
    return x / (1.0 + math.exp(-sharpness * x))


@fwddiff
def log_density(rate, x):
    return math.log(rate) - rate * x


def native_swish(x, sharpness):
    return x / (1.0 + tf.exp(-sharpness * x))


@keras.saving.register_keras_serializable("fwddiff tests")
class Swish(keras.layers.Layer):
    """An activation with a trainable sharpness."""

    def __init__(self, ours=True, **options):
        super().__init__(**options)
        self.ours, self.supports_jit = ours, False

    def build(self, shape):
        self.sharpness = self.add_weight(shape=(), initializer="ones", name="sharpness")

    def call(self, x):
        return (swish.broadcast if self.ours else native_swish)(x, self.sharpness)

    def get_config(self):
        return {**super().get_config(), "ours": self.ours}


def model(ours, **options):
    keras.utils.set_random_seed(3)
    found = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4), Swish(ours), keras.layers.Dense(1, activation="softplus")]
    )
    found.compile(**{"optimizer": "adam", "loss": "mse", **options})
    return found


INPUTS = np.random.default_rng(5).normal(size=(50, 3)).astype("float32")
TARGETS = np.exp(INPUTS.sum(1, keepdims=True) / 4)


def trained(found):
    """Losses and weights after some epochs; the last batch of each is smaller."""
    history = found.fit(INPUTS, TARGETS, epochs=3, batch_size=16, verbose=0, shuffle=False)
    return history.history["loss"], found.get_weights()


def compare(ours, native):
    for found, expected in zip(tf.nest.flatten(trained(ours)), tf.nest.flatten(trained(native)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_training_a_layer(run_eagerly):
    ours, native = (model(o, run_eagerly=run_eagerly, jit_compile=False) for o in (True, False))
    before = ours.layers[1].sharpness.numpy()
    compare(ours, native)
    assert ours.layers[1].sharpness.numpy() != before
    np.testing.assert_allclose(
        ours.predict(INPUTS, verbose=0), native.predict(INPUTS, verbose=0), rtol=2e-4, atol=1e-5
    )


def test_a_layer_that_says_so_is_not_compiled_by_xla():
    assert not model(True).jit_compile


def test_xla_is_refused():
    found = model(True)
    found.layers[1].supports_jit = True
    found.compile("adam", "mse", jit_compile=True)
    with pytest.raises(HostError, match="supports_jit = False"):
        trained(found)


def test_training_with_a_likelihood():
    def ours(x, rate):
        return -log_density.broadcast(rate, x)

    def native(x, rate):
        return -(tf.math.log(rate) - rate * x)

    compare(model(False, loss=ours, jit_compile=False), model(False, loss=native, jit_compile=False))


class Method(keras.layers.Layer):
    """The wrapped function is a method that reads the layer's weights: they are captured values."""

    def build(self, shape):
        self.sharpness = self.add_weight(shape=(), initializer="ones")

    @fwddiff
    def activation(self, x):
        return x / (1.0 + math.exp(-self.sharpness * x))

    def call(self, x):
        return self.activation.broadcast(x)


def test_weights_that_a_method_reads():
    layer = Method()
    x = tf.constant([0.5, -1.0])
    for run in (layer, tf.function(layer)):
        with tf.GradientTape() as tape:
            result = run(x)
        (found,) = tape.gradient(result, [weight.value for weight in layer.trainable_weights])
        s = 1 / (1 + np.exp(-x.numpy()))
        np.testing.assert_allclose(found, (x.numpy() ** 2 * s * (1 - s)).sum(), rtol=1e-5)


def test_a_lambda_layer():
    found = keras.Sequential([keras.Input((3,)), keras.layers.Lambda(lambda x: swish.broadcast(x, 2.0))])
    assert found.output_shape == (None, 3)
    np.testing.assert_allclose(found(INPUTS), native_swish(INPUTS, 2.0), rtol=1e-5)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own
def test_saved_models_are_made_again(tmp_path):
    path = str(tmp_path / "model.keras")
    found = model(True)
    trained(found)
    found.save(path)
    np.testing.assert_allclose(keras.saving.load_model(path)(INPUTS), found(INPUTS))
