"""Work on several processes or machines by way of Dask: what `python3 pocket farm` is made of."""
