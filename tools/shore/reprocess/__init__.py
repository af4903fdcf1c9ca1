"""Archives of recordings, dives and vignettes through another model, on Dask; results as Parquet and netCDF."""
