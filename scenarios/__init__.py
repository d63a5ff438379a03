"""The scenarios that come with fedsim: one TOML file is one reproducible experiment."""
