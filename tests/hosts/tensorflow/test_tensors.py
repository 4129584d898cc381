"""Variables, gathered variables, integers, captured values, foreign tensors, memory: in and out."""

import dataclasses
import functools
import gc
import threading
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from fwddiff import HostError, ShapeError, fwddiff
from fwddiff.hosts import tensorflow as host
from fwddiff.hosts.tensorflow import _tensors
from support.symbolic_rule import symbolic_rule

PRODUCT = symbolic_rule("x y", "x**2*y")
SINGLE = symbolic_rule("x y", "x**2*y", dtype=np.float32)


def product(x, y):
    return host.apply(PRODUCT, [x, y])[0]


def in_both(function):
    """The function, and the same in a graph."""
    return [function, tf.function(function, autograph=False)]


def vector(*values, dtype=tf.float64):
    return tf.constant(values, dtype)


def test_variables_are_arguments():
    variable, kept = tf.Variable(vector(1.0, 2.0)), tf.Variable(0.5, dtype=tf.float64, trainable=False)
    for run in in_both(product):
        with tf.GradientTape() as tape:
            result = run(variable, kept)
        found, constant = tape.gradient(result, [variable, kept])
        np.testing.assert_allclose(found, [1.0, 2.0])
        assert constant is None


def test_a_variable_that_changes():
    variable = tf.Variable(vector(1.0, 2.0))
    for run in in_both(lambda: product(variable, 1.0)):
        variable.assign([1.0, 2.0])
        with tf.GradientTape() as tape:
            before = run()
        variable.assign([3.0, 5.0])
        np.testing.assert_array_equal(before, [1.0, 4.0])
        np.testing.assert_array_equal(run(), [9.0, 25.0])
        np.testing.assert_array_equal(tape.gradient(before, variable), [2.0, 4.0])


def test_a_variable_updated_in_place_keeps_what_was_recorded():
    variable = tf.Variable(vector(1.0, 2.0))
    with tf.GradientTape() as tape:
        result = product(variable, vector(1.0, 1.0))
    variable.assign_add([10.0, 10.0])
    np.testing.assert_array_equal(tape.gradient(result, variable), [2.0, 4.0])


def test_variables_of_keras():
    variable = keras.Variable([1.0, 2.0])
    for run in in_both(lambda v: host.apply(SINGLE, [v, 0.5])[0]):
        with tf.GradientTape() as tape:
            result = run(variable)
        np.testing.assert_allclose(tape.gradient(result, variable.value), [1.0, 2.0])


def test_variables_of_several_shapes_in_one_function():
    wrapped = fwddiff(lambda x, y: x * x * y)
    for shape in [(), (2,), (2, 1)]:
        variable = tf.Variable(tf.ones(shape))
        with tf.GradientTape() as tape:
            result = wrapped.broadcast(variable, tf.constant([3.0, 4.0]))
        assert tape.gradient(result, variable).shape == shape


def test_a_gathered_variable_has_a_sparse_gradient():
    variable = tf.Variable(vector(1.0, 2.0, 3.0))
    for run in in_both(lambda: product(tf.gather(variable, [2, 0, 2]), vector(1.0, 10.0, 100.0))):
        with tf.GradientTape() as tape:
            result = run()
        found = tape.gradient(result, variable)
        assert isinstance(found, tf.IndexedSlices)
        np.testing.assert_allclose(tf.convert_to_tensor(found), [20.0, 0.0, 606.0])


def test_sparse_cotangents():
    x = vector(1.0, 2.0, 3.0)
    for run in in_both(lambda x: tf.gather(product(x, 1.0), [2, 2])):
        with tf.GradientTape() as tape:
            tape.watch(x)
            result = run(x)
        np.testing.assert_allclose(tape.gradient(result, x), [0.0, 0.0, 12.0])


def test_integers_have_no_gradient():
    x, n = vector(2.0, 3.0), tf.constant([2, 3])
    wrapped = fwddiff(lambda x, n, nothing: (x**n, n + 1, nothing))
    for run in in_both(lambda x, n: wrapped.broadcast(x, n, None)):
        with tf.GradientTape() as tape:
            tape.watch(x)
            power, count, nothing = run(x, n)
        assert nothing is None
        assert count.dtype.is_integer
        np.testing.assert_array_equal(count, [3, 4])
        by_x, by_n = tape.gradient(power, [x, n])
        assert by_n is None
        np.testing.assert_allclose(by_x, [4.0, 27.0])


def test_an_integer_result_is_connected_to_nothing():
    rule = symbolic_rule("x n:int", "x**2", "n**2")
    x = vector(2.0, 3.0)
    for run in in_both(lambda x: host.apply(rule, [x, 3])):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            _, count = run(x)
            total = tf.cast(count, tf.float64)
        assert tape.gradient(total, x) is None


def test_numbers_and_arrays_are_constants():
    constant = np.array([2.0, 3.0])
    x = vector(1.0, 1.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        result = product(x, constant)
    constant[:] = 100.0
    np.testing.assert_array_equal(result, [2.0, 3.0])
    np.testing.assert_array_equal(tape.gradient(result, x), [4.0, 6.0])


def test_what_wrt_leaves_out_has_no_gradient():
    wrapped = fwddiff(lambda x, y: x * x * y, wrt="x")
    x, y = vector(2.0, 3.0), tf.Variable(vector(1.0, 2.0))
    for run in in_both(wrapped.broadcast):
        with tf.GradientTape() as tape:
            tape.watch(x)
            result = run(x, y)
        by_x, by_y = tape.gradient(result, [x, y])
        np.testing.assert_allclose(by_x, [4.0, 12.0])
        assert by_y is None


# --- captured values ----------------------------------------------------------------------------------------


@dataclasses.dataclass
class Line:
    slope: Any
    offset: Any


class Model(tf.Module):
    def __init__(self, weight, offset):
        super().__init__()
        self.weight, self.offset = weight, offset

    def predict(self, x):
        return x * self.weight * self.weight + self.offset


SHARED = None


def closure(w, b):
    return lambda x: x * w * w + b


def bound_self(w, b):
    return Model(w, b).predict


def struct(w, b):
    line = Line(w, b)
    return lambda x: x * line.slope * line.slope + line.offset


def helper(w, b):
    def scaled(x):
        return x * w * w

    return lambda x: scaled(x) + b


def global_name(w, b):
    global SHARED
    SHARED = w
    return lambda x: x * SHARED * SHARED + b


@pytest.mark.parametrize("make", [closure, bound_self, struct, helper, global_name])
def test_captured_variables(make):
    x = tf.constant([0.5, 1.0, 2.0])
    weight, offset = tf.Variable(1.5), keras.Variable(0.25)
    wrapped = fwddiff(make(weight, offset)).broadcast
    for run in in_both(wrapped):
        with tf.GradientTape() as tape:
            result = run(x)
        np.testing.assert_allclose(result, x.numpy() * 2.25 + 0.25)
        np.testing.assert_allclose(tape.gradient(result, [weight, offset.value]), [10.5, 3.0])


def test_captured_variables_are_read_at_every_call():
    weight = tf.Variable(1.0)
    wrapped = fwddiff(lambda x: x * weight).broadcast
    for run in in_both(wrapped):
        weight.assign(1.0)
        np.testing.assert_array_equal(run(tf.constant([2.0])), [2.0])
        weight.assign(3.0)
        np.testing.assert_array_equal(run(tf.constant([2.0])), [6.0])


def test_a_captured_table():
    table = tf.Variable(vector(0.2, 0.7, 1.9))
    wrapped = fwddiff(lambda k: table[k] * table[k]).broadcast
    for run in in_both(wrapped):
        with tf.GradientTape() as tape:
            result = run(tf.constant([2, 0, 2], tf.int64))
        np.testing.assert_allclose(tape.gradient(result, table), [0.4, 0.0, 7.6])


# --- what cannot be lent ------------------------------------------------------------------------------------

FOREIGN = {
    "float16": (lambda: tf.constant([1.0], tf.float16), "float16"),
    "bfloat16": (lambda: tf.constant([1.0], tf.bfloat16), "bfloat16"),
    "complex64": (lambda: tf.constant([1.0], tf.complex64), "complex64"),
    "string": (lambda: tf.constant(["a"]), "string"),
    "quantised": (
        lambda: tf.quantization.quantize(vector(1.0, dtype=tf.float32), 0, 2, tf.qint8)[0],
        "qint8",
    ),
    "resource": (lambda: tf.Variable(1.0).handle, "resource"),
    "sparse": (lambda: tf.sparse.from_dense([[0.0, 1.0]]), "to_dense"),
    "ragged": (lambda: tf.ragged.constant([[1.0], [2.0, 3.0]]), "to_tensor"),
    "slices": (lambda: tf.IndexedSlices(vector(1.0, 2.0), [0, 1]), "convert_to_tensor"),
    "half variable": (lambda: tf.Variable([1.0], dtype=tf.float16), "float16"),
    "Keras input": (lambda: keras.Input((3,)), "inside a layer"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_tensors_are_errors(kind):
    make, message = FOREIGN[kind]
    with pytest.raises(HostError, match=f"argument 'x'.*{message}"):
        fwddiff(lambda x: x * 2.0).broadcast(make())


def test_symbolic_half_floats_are_errors():
    with pytest.raises(HostError, match=r"argument 'x'.*float16"):
        tf.function(fwddiff(lambda x: x * 2.0).broadcast)(tf.constant([1.0], tf.float16))


def test_devices():
    with tf.device("CPU:0"):
        assert host.owns(vector(1.0))
    _tensors.check_device(vector(1.0).device)
    _tensors.check_device("")
    for device in ("/job:localhost/replica:0/task:0/device:GPU:0", "/device:TPU:3"):
        with pytest.raises(HostError, match=r"tf\.device"):
            _tensors.check_device(device)


def test_a_tensor_that_moves_to_another_device_between_calls(monkeypatch):
    """Rules are chosen by dtypes and axes; the device is looked at in every call."""
    x = vector(1.0, 2.0)
    np.testing.assert_array_equal(product(x, 1.0), [1.0, 4.0])
    monkeypatch.setattr(type(x), "device", property(lambda tensor: "/device:GPU:0"), raising=False)
    with pytest.raises(HostError, match="GPU:0"):
        product(x, 1.0)


def test_an_unknown_number_of_axes_is_an_error():
    run = tf.function(fwddiff(lambda x: x * 2.0).broadcast, input_signature=[tf.TensorSpec(None, tf.float64)])
    with pytest.raises(HostError, match="ensure_shape"):
        run(vector(1.0))


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
def test_shapes_that_do_not_broadcast(graph):
    with pytest.raises(ShapeError, match=r"\(2,\), \(3,\) do not broadcast"):
        in_both(product)[graph](vector(1.0, 2.0), vector(1.0, 2.0, 3.0))


def test_shapes_that_turn_out_not_to_broadcast():
    spec = tf.TensorSpec([None], tf.float64)
    run = tf.function(product, autograph=False, input_signature=[spec, spec])
    with pytest.raises(tf.errors.InvalidArgumentError, match="do not broadcast"):
        run(vector(1.0, 2.0), vector(1.0, 2.0, 3.0))


def test_arrays_of_two_frameworks():
    torch = pytest.importorskip("torch")
    with pytest.raises(HostError, match=r"tensorflow.*torch"):
        fwddiff(lambda x, y: x * y).broadcast(vector(1.0), torch.ones(1))


def refuses(x):
    if x < 0:
        raise ValueError("only positive numbers")
    return x * x


def test_an_error_in_the_function():
    wrapped = fwddiff(refuses).broadcast
    with pytest.raises(ValueError, match="only positive numbers"):
        wrapped(vector(1.0, -1.0))
    with pytest.raises(tf.errors.InvalidArgumentError, match="only positive numbers"):
        tf.function(wrapped)(vector(1.0, -1.0))
    np.testing.assert_array_equal(wrapped(vector(3.0)), [9.0])


# --- memory -------------------------------------------------------------------------------------------------


def test_results_share_the_memory_of_the_kernel():
    array = _tensors.empty((3, 5), np.dtype(np.float64))
    array[:] = 7.0
    tensor = _tensors.from_array(array)
    assert np.asarray(tensor).__array_interface__["data"][0] == array.__array_interface__["data"][0]
    np.testing.assert_array_equal(tensor + 1.0, np.full((3, 5), 8.0))


@pytest.mark.parametrize("offset", range(8))
def test_memory_that_is_not_aligned_is_copied(offset):
    """TensorFlow aborts the process at the first operation on such memory."""
    array = np.arange(100, dtype=np.float64)[offset : offset + 50]
    tensor = _tensors.from_array(array)
    aligned = array.__array_interface__["data"][0] % 64 == 0
    shared = np.asarray(tensor).__array_interface__["data"][0] == array.__array_interface__["data"][0]
    assert shared == aligned
    np.testing.assert_array_equal(tensor + tensor, 2 * array)


def test_arrays_with_strides_are_copied():
    array = _tensors.empty((4, 6), np.dtype(np.float64))
    array[:] = np.arange(24.0).reshape(4, 6)
    np.testing.assert_array_equal(_tensors.from_array(array.T) + 0.0, array.T)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "bool", "uint8"])
@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (2, 3)])
def test_every_dtype_and_shape_comes_back(dtype, shape):
    array = _tensors.empty(shape, np.dtype(dtype))
    array[...] = 1
    tensor = _tensors.from_array(array)
    assert tensor.dtype == dtype
    assert tensor.shape == shape
    np.testing.assert_array_equal(tensor, array)


def test_arguments_are_read_only():
    seen = []

    class Spy(type(PRODUCT)):
        def __call__(self, arrays, batch_ndim=0):
            seen.extend(array.flags.writeable for array in arrays)
            return super().__call__(arrays, batch_ndim)

    rule = symbolic_rule("x y", "x*y")
    rule.__class__ = Spy
    host.apply(rule, [vector(1.0), tf.Variable(vector(1.0))])
    assert seen == [False, False]


def test_empty_arrays():
    x = tf.zeros([0, 3], tf.float64)
    wrapped = fwddiff(lambda x: x * x)
    for run, shape in [(wrapped.broadcast, (0, 3)), (wrapped.sum, ())]:
        for call in in_both(run):
            with tf.GradientTape() as tape:
                tape.watch(x)
                result = call(x)
            assert result.shape == shape
            assert tape.gradient(result, x).shape == (0, 3)


def test_threads():
    """Two threads, each with its own tapes; the kernel runs in TensorFlow's threads too."""
    x = vector(1.0, 2.0)
    graph = tf.function(lambda x: product(x, 3.0), autograph=False)
    wrong = []

    def work():
        for k in range(200):
            with tf.GradientTape() as tape:
                tape.watch(x)
                result = (graph if k % 2 else functools.partial(product, y=3.0))(x)
            if not np.array_equal(tape.gradient(result, x), [6.0, 12.0]):
                wrong.append(k)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_calls_keep_nothing():
    x = vector(1.0, 2.0)

    def call():
        with tf.GradientTape() as tape:
            tape.watch(x)
            result = product(x, 3.0)
        tape.gradient(result, x)

    for _ in range(20):
        call()
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(500):
        call()
    gc.collect()
    assert len(gc.get_objects()) - before < 100
