"""Archives of recordings, dives and vignettes through another model, on Dask: Parquet and netCDF."""
