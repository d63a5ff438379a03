"""The images that come with fedsim; see ORIGIN.md for their origin."""
