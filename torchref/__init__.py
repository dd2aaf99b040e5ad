"""The same networks said in PyTorch's own modules, losses and optimizers; runs on CPU, CUDA and MPS."""
