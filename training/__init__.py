"""Everything about training: parameters and their advice, data sets, runs, and the code inside a job."""
