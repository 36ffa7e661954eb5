"""Photo libraries: scanned, annotated on Ray Data, shown, asked, and culled."""
