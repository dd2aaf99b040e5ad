"""The first page of docs/: what there is, and where to look."""

from __future__ import annotations

from collections.abc import Mapping

ABOUT = {
    "layers": "what a layer answers; Dense, Dropout, Residual",
    "normalization": "BatchNorm, LayerNorm",
    "activations": "twelve functions with their derivatives",
    "softmax": "softmax and its logarithm as layers",
    "losses": "value and gradient of what is to be made small",
    "penalties": "L1, L2, elastic net; the max-norm constraint",
    "optimizers": "update rules on one vector θ, weight decay, gradient clipping",
    "schedules": "the learning rate over time",
    "initializers": "where training starts",
    "networks": "layers in a row, parameters as one vector, jobs, the bare training step",
    "training": "epochs, early stopping, metrics, files",
    "autodiff": "the chain rule by machine, and what checks a gradient",
}
QUESTIONS = {
    "You are learning": {
        "What happens in one layer, forward and backward?": "layers",
        "Why does a sigmoid's gradient fade, and a ReLU's not?": "activations",
        "How does the chain rule become a program? (`python -m scratch.tape` prints two worked examples)": "autodiff",
        "What do momentum, RMSProp and Adam do differently?": "optimizers",
        "Why √(2/n)?": "initializers",
    },
    "Your own network does not work": {
        "Is my gradient right? Complex step, central difference, Taylor's slope": "autodiff",
        "Does my code agree with PyTorch, and where need it not?": "differences",
        "NaN: what overflows, and what is guarded?": "losses",
        "Gradients explode": "optimizers",
        "It is good in training and bad afterwards: what changes when training ends?": "normalization",
        "What may an option be? (see *refuses* under every description)": "layers",
    },
    "You sweep": {
        "Many networks as one: leading axes, one learning rate for each": "networks",
        "Which schedules, and what do they look like?": "schedules",
        "Which starting points, paired on the same draws?": "initializers",
        "Early stopping and the best epoch of each member": "training",
        "A plateau in one member of a stack": "schedules",
    },
}


def text(titles: Mapping[str, str]) -> str:
    """``titles``: name of a page -> its title."""
    named = {
        **titles,
        "differences": "Differences from PyTorch",
        "hostile_inputs": "Hostile inputs",
        "statements": "The notes, statement by statement",
        "cluster": "Many machines",
    }
    about = {
        **ABOUT,
        "differences": "each one run, not remembered",
        "hostile_inputs": "what bad input does",
        "statements": "claims and verdicts",
        "cluster": "an experiment's cells on the workers of a scheduler",
    }
    pages = "\n".join(f"- [{title}]({name}.md): {about[name]}" for name, title in named.items())
    asked = "\n\n".join(
        f"**{who}**\n\n" + "\n".join(f"- {question} → [{named[name]}]({name}.md)" for question, name in answers.items())
        for who, answers in QUESTIONS.items()
    )
    return f"""# The library, page by page

{pages}

## How to read a page

Each class or function has its signature, then its formula, then what else there is to say. An example is a column: X (…, features, m), W
(…, n_out, n_in), b (…, n_out, 1); … are leading axes, a stack of networks. *Parameters* are learned, *buffers* are remembered without
being learned, what is *handed in* comes from whoever trains. *Refuses* shows the message for a wrong option. *PyTorch* names the twin: what
says the same in `torchref`, the second implementation.

## Which page answers

{asked}
"""
