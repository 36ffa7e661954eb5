"""Where labelled pictures come from: layouts on disk, thin-lens rendering, prepared Parquet."""
