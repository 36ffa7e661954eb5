"""Studies of many training runs on Ray Tune: searches, the paper's gamma grid, and its ablation."""
