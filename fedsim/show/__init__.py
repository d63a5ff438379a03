"""Views of finished and running runs: reports, explanations, figures, tables, from the log."""
