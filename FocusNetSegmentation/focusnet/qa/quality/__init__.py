"""Predict how good an organ's contour is, from named measures of it, its neighbours, the CT and the network's own certainty."""
