"""What reads and shows: reports, explanations, figures, tables. Reads the log alone."""
