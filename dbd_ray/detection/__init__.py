"""Detection of focus in photos: the detector, its pre- and postprocessing, and its use on files and in Ray Data."""
