"""Figures of sets of feature vectors and of clips: pure, in float64."""
