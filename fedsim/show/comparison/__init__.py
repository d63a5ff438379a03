"""Tables, figures and advice of a comparison."""
