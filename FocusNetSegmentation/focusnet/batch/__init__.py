"""Many scans: found below a folder, contoured here, by worker processes or on a Dask cluster, summed up in one table.

``scans`` finds them; ``contour`` does one and returns its rows; ``runners`` spreads them; ``summary`` keeps summary.csv. docs/scale.md.
"""
