"""One module for each way of propagation, whose ``PROPAGATION`` is its row in `mpvss_model.propagation.registry`.

Command lines import all of them to print their help. So they import PyTorch, OpenCV and numpy not at their top, but where they
build a propagator.
"""
