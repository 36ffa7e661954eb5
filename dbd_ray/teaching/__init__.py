"""Teaching: the Ray Data job that runs a depth teacher once over every photo."""
