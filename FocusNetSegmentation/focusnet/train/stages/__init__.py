"""The stages of training as data: what a step sees, which parts move, on which loss."""
