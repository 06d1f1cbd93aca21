"""Readers of training data sets. Each yields Case objects; what was contoured in a case is part of the data."""
