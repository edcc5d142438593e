"""Stands for a layer's package."""

GREETING = "from the layer"
