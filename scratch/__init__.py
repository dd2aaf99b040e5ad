"""Feed-forward neural networks from scratch: NumPy alone, forward and backward by hand, an example a column."""

from scratch.activations import (
    ELU,
    GELU,
    SELU,
    HardTanh,
    Identity,
    LeakyReLU,
    Mish,
    ReLU,
    Sigmoid,
    SiLU,
    Softplus,
    Tanh,
)
from scratch.categorical import CrossEntropy, NegativeLogLikelihood
from scratch.clipping import ClipNorm, ClipValue
from scratch.contract import Batch, Job, Snapshot
from scratch.errors import InvalidInput
from scratch.fitting import Fit, epochs, fit, predict, split
from scratch.layers import Dense, Dropout, Layer, Residual
from scratch.losses import (
    AbsoluteError,
    BinaryCrossEntropy,
    BinaryCrossEntropyFromProbabilities,
    Huber,
    InnerProduct,
    SquaredError,
)
from scratch.network import Network
from scratch.normalization import BatchNorm, LayerNorm
from scratch.optimizers import SGD, Adadelta, Adagrad, Adam, AdamW, RMSProp
from scratch.penalties import L1, L2, ElasticNet, MaxNorm
from scratch.saving import load, save
from scratch.schedules import (
    Constant,
    Cosine,
    Exponential,
    InverseTime,
    MultiStep,
    OneCycle,
    Polynomial,
    ReduceOnPlateau,
    StepDecay,
    WarmRestarts,
    Warmup,
)
from scratch.softmax import LogSoftmax, Softmax

__all__ = [
    "ELU",
    "GELU",
    "L1",
    "L2",
    "SELU",
    "SGD",
    "AbsoluteError",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Batch",
    "BatchNorm",
    "BinaryCrossEntropy",
    "BinaryCrossEntropyFromProbabilities",
    "ClipNorm",
    "ClipValue",
    "Constant",
    "Cosine",
    "CrossEntropy",
    "Dense",
    "Dropout",
    "ElasticNet",
    "Exponential",
    "Fit",
    "HardTanh",
    "Huber",
    "Identity",
    "InnerProduct",
    "InvalidInput",
    "InverseTime",
    "Job",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "LogSoftmax",
    "MaxNorm",
    "Mish",
    "MultiStep",
    "NegativeLogLikelihood",
    "Network",
    "OneCycle",
    "Polynomial",
    "RMSProp",
    "ReLU",
    "ReduceOnPlateau",
    "Residual",
    "SiLU",
    "Sigmoid",
    "Snapshot",
    "Softmax",
    "Softplus",
    "SquaredError",
    "StepDecay",
    "Tanh",
    "WarmRestarts",
    "Warmup",
    "epochs",
    "fit",
    "load",
    "predict",
    "save",
    "split",
]
