"""A CT made over label maps: real contours, invented grey values. For training and tests where no CT may be had; docs/simulator.md."""
