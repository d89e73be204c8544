"""Runs a network's weights by onnxruntime: one thread, the same answer every time, no gradient, no pickle."""

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from intersection.detection import Values
from models.errors import PolicyFault


class UnusableWeightsError(ValueError):
    """Weights that no session can be made of, or that take or give something else than one vector."""


class Network:
    """A network that rates answers."""

    def __init__(self, weights: bytes) -> None:
        """Make a session of the content of an ONNX file.

        Raises:
            UnusableWeightsError: they cannot be run; the message says why.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.use_deterministic_compute = True
        options.log_severity_level = 4  # what it has to say comes as an error
        try:
            self._session = onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
        except Exception as cause:  # onnxruntime's errors have no common base of their own
            raise UnusableWeightsError(" ".join(str(cause).split())[:200]) from cause
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shapes = [(each.type, len(each.shape), each.shape[-1:]) for each in (*inputs, *outputs)]
        if len(inputs) != 1 or len(outputs) != 1 or any(kind != "tensor(float)" or ranks != 2 for kind, ranks, _ in shapes):
            raise UnusableWeightsError("they do not take and give one vector of single precision")
        self._name: str = inputs[0].name
        self.inputs, self.outputs = (last[0] for _, _, last in shapes)

    def rate(self, vectors: Values) -> NDArray[np.float32]:
        """Rate the answers.

        Args:
            vectors: float32, shape (rows, inputs).

        Returns:
            float32, shape (rows, outputs).

        Raises:
            PolicyFault: the network failed.
        """
        try:
            [rated] = self._session.run(None, {self._name: vectors})
        except Exception as cause:  # onnxruntime's errors have no common base of their own
            raise PolicyFault(f"the network failed: {' '.join(str(cause).split())[:200]}") from cause
        return np.asarray(rated, np.float32)
