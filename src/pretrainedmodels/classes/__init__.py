"""The original's classes and inner functions; `pretrainedmodels.models` imports them when first asked for.

A class takes the original's arguments and is otherwise one of headstart's networks, for programs that
subclass it. What a constructor such as `se_resnet50()` returns is of headstart's class, not of these.
"""
