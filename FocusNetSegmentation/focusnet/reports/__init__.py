"""Pages and pictures for people: one case, many cases, an overview of one result."""
