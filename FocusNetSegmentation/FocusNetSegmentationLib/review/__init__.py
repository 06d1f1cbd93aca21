"""Review of a result: states, scores, views and the shape prior."""
