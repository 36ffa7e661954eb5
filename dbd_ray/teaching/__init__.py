"""Teaching: a frozen depth network looks once at every photo, in parallel actors of Ray Data."""
