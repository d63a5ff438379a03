"""The ground floor: registries, checked parameters, seeds, errors and shared names."""
