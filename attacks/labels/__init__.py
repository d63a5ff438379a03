"""Label inference from gradients and updates."""
