"""Feed-forward neural networks from scratch: NumPy alone, forward and backward by hand, an example a column."""

from scratch.activations import Identity, LeakyReLU, ReLU, Sigmoid, Tanh
from scratch.contract import Batch, Job, Snapshot
from scratch.errors import InvalidInput
from scratch.layers import Dense
from scratch.losses import BinaryCrossEntropy, CrossEntropy, InnerProduct, SquaredError
from scratch.network import Network
from scratch.optimizers import SGD

__all__ = [
    "SGD",
    "Batch",
    "BinaryCrossEntropy",
    "CrossEntropy",
    "Dense",
    "Identity",
    "InnerProduct",
    "InvalidInput",
    "Job",
    "LeakyReLU",
    "Network",
    "ReLU",
    "Sigmoid",
    "Snapshot",
    "SquaredError",
    "Tanh",
]
