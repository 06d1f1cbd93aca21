"""Readers of training data sets. Each yields Case objects, which also say what was contoured in a case."""
