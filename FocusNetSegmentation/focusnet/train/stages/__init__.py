"""The stages of training as data: samples, trained parts, losses."""
