"""From photos to focus maps: the detector, what happens around its network, and its ways into files and Ray Data."""
