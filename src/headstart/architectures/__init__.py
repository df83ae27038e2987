"""Our own ports, one family a file, torch only, each with the paper in its header.

They bear the tensor names of the original library, so that anyone's checkpoint loads with ``strict=True``.
"""
