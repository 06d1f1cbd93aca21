"""Everything that knows 3D Slicer: nodes, the worker process, installation, training runs, the panel. Importing this package imports none of them."""
