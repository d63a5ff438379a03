"""The images that come with fedsim; ORIGIN.md says where they are from."""
