"""Turns what stable-baselines3 trained into ONNX, and proves that both say the same.

The graph is written down layer by layer, and not traced: the same weights give the same bytes, and what it cannot express is refused.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from intersection.detection import Values
from intersection.errors import ConfigError
from intersection.layout import Layout
from models._network import Network
from models.manifest import Seen
from models.onnx_policy import Recording
from models.training.trained import _best, _load

OPSET = 17
"""The version of the ONNX operators, understood by every onnxruntime since 1.12."""

IR_VERSION = 8
"""The version of the file's form that belongs to it."""

AGREEMENT = 1e-5
"""The two networks' ratings differ by no more than this on any observation; of ratings beyond 1, by no more than this share of the largest.

Single precision knows no more: a rating of 100 has a last bit of 8e-6.
"""

USUAL = 0.999
"""The share of observations in training whose distance counts as usual."""

NARROWEST = 0.05
"""The least scale of a value, so that one that never changed in training does not make every change infinitely strange."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How two networks compare on the same observations."""

    observations: int
    difference: float
    """The largest between two ratings; of ratings beyond 1, as a share of the observation's largest."""

    other_stages: int
    """How often the trained policy would have proposed another stage than the ONNX form did."""

    allowed: float = AGREEMENT

    @property
    def holds(self) -> bool:
        """Whether one may take the other's place."""
        return self.difference <= self.allowed and self.other_stages == 0


def model_of(path: Path) -> Any:  # noqa: ANN401  # one of SB3's algorithms
    """Load what `phasewise train` wrote. Raises ConfigError."""
    return _load(path)


def layers_of(model: Any) -> torch.nn.Sequential:  # noqa: ANN401  # one of SB3's algorithms
    """Find the layers that lead from an observation to the ratings of the stages.

    Raises:
        ConfigError: the algorithm is none of those that `phasewise train` knows.
    """
    policy = model.policy
    if hasattr(policy, "q_net"):
        return torch.nn.Sequential(policy.q_net.features_extractor, policy.q_net.q_net)
    if hasattr(policy, "action_net"):
        return torch.nn.Sequential(policy.pi_features_extractor, policy.mlp_extractor.policy_net, policy.action_net)
    raise ConfigError("no network of this algorithm can be exported", key="algorithm", value=type(model).__name__, allowed="ppo, dqn")


def to_onnx(layers: torch.nn.Module) -> bytes:
    """Write layers as an ONNX file: the same weights give the same bytes.

    Raises:
        ConfigError: there is a layer other than linear, Tanh and ReLU.
    """
    nodes, weights = [], []
    linear: list[torch.nn.Linear] = []
    name = "observation"
    for at, layer in enumerate(_flat(layers)):
        before, name = name, f"layer{at}"
        match layer:
            case torch.nn.Linear():
                linear.append(layer)
                own = {f"{name}.weight": layer.weight, f"{name}.bias": layer.bias}
                weights += [numpy_helper.from_array(value.detach().cpu().numpy().astype(np.float32), key) for key, value in own.items()]
                nodes.append(helper.make_node("Gemm", [before, *own], [name], name=name, transB=1))
            case torch.nn.Tanh() | torch.nn.ReLU():
                nodes.append(helper.make_node("Tanh" if isinstance(layer, torch.nn.Tanh) else "Relu", [before], [name], name=name))
            case _:
                raise ConfigError(
                    "no form in ONNX for this layer",
                    key="layer",
                    value=type(layer).__name__,
                    allowed="Flatten, Identity, Linear, Tanh, ReLU",
                )
    if not linear:
        raise ConfigError("a network without a layer", key="layer", value=[], allowed="1 or more linear layers")
    graph = helper.make_graph(
        nodes,
        "policy",
        [helper.make_tensor_value_info("observation", TensorProto.FLOAT, ["rows", linear[0].in_features])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", linear[-1].out_features])],
        weights,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="phasewise", ir_version=IR_VERSION)
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString(deterministic=True))


def _flat(layers: torch.nn.Module) -> Iterator[torch.nn.Module]:
    """List what layers are made of, without those that change nothing of a vector."""
    inner = list(layers.children())
    if inner:
        for each in inner:
            yield from _flat(each)
    elif not isinstance(layers, torch.nn.Flatten | torch.nn.Identity):
        yield layers


def compare(model: Any, weights: bytes, recordings: Sequence[tuple[Layout, Recording]], shared: Layout) -> Agreement:  # noqa: ANN401  # one of SB3's
    """Let the trained network answer the observations that its ONNX form was given.

    Both get them one by one, as in operation: of many rows at a time the sums are formed in another order.

    Args:
        model: the trained network.
        weights: its ONNX form.
        recordings: of signals, each with its own layout.
        shared: the layout that the network takes.
    """
    layers, network = layers_of(model), Network(weights)
    difference, other, count = 0.0, 0, 0
    padded, mask = np.zeros((1, shared.size), np.float32), np.zeros(network.outputs, bool)
    for own, recording in recordings:
        places = shared.places(own)
        padded[:], mask[:] = 0.0, False
        for vector, open_, stage in zip(recording.vectors, recording.open_, recording.stages.tolist(), strict=True):
            padded[0, places] = vector
            mask[: len(open_)] = open_
            with torch.no_grad():
                trained = layers(torch.from_numpy(padded)).numpy()
            apart = float(np.abs(trained - network.rate(padded)).max() / max(1.0, np.abs(trained).max()))
            if not np.isfinite(apart):
                return Agreement(count, float("inf"), other)
            difference = max(difference, apart)
            other += stage != _best(model, padded[0], mask)
            count += 1
    return Agreement(count, difference, other)


def seen_in(vectors: Values) -> Seen:
    """Tell what range a signal's observations had, and how far from their mean one in a thousand lies.

    The first four fifths, which is to say episodes, give mean and scale; the last fifth, which these do not know, the usual distance.

    Args:
        vectors: float32, shape (decisions, values), in the order in which they were recorded; two or more.
    """
    known = vectors[: max(1, len(vectors) * 4 // 5)].astype(np.float64)
    mean, scale = known.mean(axis=0).round(4), np.maximum(known.std(axis=0), NARROWEST).round(4)
    left = vectors[len(known) :].astype(np.float64)
    distances = np.sqrt(((((left if len(left) else known) - mean) / scale) ** 2).mean(axis=1))
    return Seen(
        count=len(vectors),
        low=_told(np.floor(vectors.min(axis=0).astype(np.float64) * 1e4) / 1e4),
        high=_told(np.ceil(vectors.max(axis=0).astype(np.float64) * 1e4) / 1e4),
        mean=_told(mean),
        scale=_told(scale),
        usual=round(max(float(np.quantile(distances, USUAL)), NARROWEST), 4),
    )


def _told(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(round(value, 4) + 0.0 for value in values.tolist())
