"""The code inside the job: the launcher, and the trainer that runs once a rank."""
