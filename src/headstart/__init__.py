"""headstart: finds, trains and proves the best pretrained image classifier for your own pictures."""

__version__ = "0.1.0"
