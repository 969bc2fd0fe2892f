"""What is run: one run, sweeps, evaluation, the store, statistics, tables, figures, reports, the deft command."""
