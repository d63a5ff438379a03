"""R-GAP: the layer-by-layer recursion and its equations."""
