"""More than one process or machine: many videos, or the windows of one, on Dask."""
