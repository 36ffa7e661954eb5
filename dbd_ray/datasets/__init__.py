"""Labelled pictures: folder layouts, thin-lens rendering, prepared Parquet."""
