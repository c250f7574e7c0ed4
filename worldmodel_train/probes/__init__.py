"""Simple classifiers on frozen features: how much of a label can be read off them."""
