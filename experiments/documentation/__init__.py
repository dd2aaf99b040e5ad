"""The pages of docs/, made from the docstrings, the descriptions themselves and their twins: ``python -m experiments.documentation``."""
