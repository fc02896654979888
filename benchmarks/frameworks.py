"""The interface of a framework for the GPU benchmark: tensors, compiled calls, gradients, precision, the device.

Each class imports only its framework. A compiled call queues its work; `wait` returns when the device has completed the
work of all calls.
"""

import concurrent.futures
import functools

PRECISIONS = ("tf32", "float32", "bfloat16")


class Jax:
    """JAX: a call is one XLA program."""

    def __init__(self):
        import jax

        # A processor may run queued calls beside each other, and `wait` waits for the last one.
        jax.config.update("jax_cpu_enable_async_dispatch", False)
        self.jax = jax

    def device(self):
        """The name of the device, `"cpu"` without a GPU."""
        return self.jax.devices()[0].device_kind

    def set_precision(self, precision):
        """`"float32"`: products of float32 in full precision; `"tf32"`: in TensorFloat-32, where the device has it."""
        name = "tensorfloat32" if precision == "tf32" else "float32"
        self.jax.config.update("jax_default_matmul_precision", name)

    def tensor(self, values, dtype):
        """A tensor on the device."""
        return self.jax.device_put(values.astype(dtype))

    def gradients(self, function, operands, cotangent):
        """The value of a function, and its gradients by all operands."""
        value, pull_back = self.jax.vjp(function, *operands)
        return value, *pull_back(cotangent)

    def compile(self, calls):
        """From a dict of pairs (function, operands): a dict of functions without arguments, which return tensors."""
        lowered = [self.jax.jit(function).lower(*operands) for function, operands in calls.values()]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            compiled = list(pool.map(lambda each: each.compile(), lowered))
        return {
            name: functools.partial(program, *operands)
            for program, (name, (_, operands)) in zip(compiled, calls.items(), strict=True)
        }

    def wait(self, result):
        """Waits for the result of the last call, and thus of all calls."""
        self.jax.block_until_ready(result)


class PyTorch:
    """PyTorch: a call on a GPU is the replay of a CUDA graph, without the time of Python; on a CPU, an eager call."""

    def __init__(self):
        import torch

        self.torch = torch
        self.is_gpu = torch.cuda.is_available()

    def device(self):
        """As above."""
        return self.torch.cuda.get_device_name() if self.is_gpu else "cpu"

    def set_precision(self, precision):
        """As above."""
        self.torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")

    def tensor(self, values, dtype):
        """As above."""
        tensor = self.torch.from_numpy(values).to("cuda" if self.is_gpu else "cpu", getattr(self.torch, dtype))
        return tensor.requires_grad_()

    def gradients(self, function, operands, cotangent):
        """As above."""
        value = function(*operands)
        return value.detach(), *self.torch.autograd.grad(value, operands, cotangent.detach())

    def compile(self, calls):
        """As above."""
        return {
            name: self.captured(functools.partial(function, *operands)) for name, (function, operands) in calls.items()
        }

    def captured(self, call):
        """A function without arguments as a CUDA graph, which writes into the same tensors each time."""
        if not self.is_gpu:
            return call
        stream = self.torch.cuda.Stream()
        stream.wait_stream(self.torch.cuda.current_stream())
        with self.torch.cuda.stream(stream):
            for _ in range(3):
                call()
        self.torch.cuda.current_stream().wait_stream(stream)
        graph = self.torch.cuda.CUDAGraph()
        with self.torch.cuda.graph(graph):
            result = call()

        def replay():
            graph.replay()
            return result

        return replay

    def wait(self, result):
        """As above."""
        if self.is_gpu:
            self.torch.cuda.synchronize()


class TensorFlow:
    """TensorFlow: a call is one tf.function."""

    def __init__(self):
        import tensorflow as tf

        self.tf = tf

    def device(self):
        """As above."""
        gpus = self.tf.config.list_physical_devices("GPU")
        return self.tf.config.experimental.get_device_details(gpus[0])["device_name"] if gpus else "cpu"

    def set_precision(self, precision):
        """As above."""
        self.tf.config.experimental.enable_tensor_float_32_execution(precision == "tf32")

    def tensor(self, values, dtype):
        """As above."""
        return self.tf.cast(values, dtype)

    def gradients(self, function, operands, cotangent):
        """As above."""
        with self.tf.GradientTape() as tape:
            tape.watch(operands)
            value = function(*operands)
        return value, *tape.gradient(value, operands, cotangent)

    def compile(self, calls):
        """As above."""
        return {
            name: functools.partial(self.tf.function(function), *operands)
            for name, (function, operands) in calls.items()
        }

    def wait(self, result):
        """As above."""
        for tensor in result:
            self.tf.reshape(tensor, [-1])[:1].numpy()


FRAMEWORKS = {"jax": Jax, "torch": PyTorch, "tensorflow": TensorFlow}
